"""What is said in a Lease about who should have it next: a request to its holder, and the holder's word. Pure.

Both are annotations, and both name the holder and the term that they are of: when the Lease has changed hands they
mean nothing any more, so nobody has to clean up after anybody. Agents that don't know them, such as kube-vip,
leave them alone.
"""

import json
from typing import Self

import attrs

from kubevip.lease import Record

REQUEST = "kubevip.io/handover"
WORD = "kubevip.io/holder"
# More than this in an annotation is none of ours.
_LONGEST = 4096


@attrs.frozen
class Request:
    """Somebody asks *holder* in *term* to hand over to *to*, or to anybody where that is empty.

    *by* says who asks and why, for people; *id* tells requests of one term apart.
    """

    holder: str
    term: int
    to: str = ""
    id: str = ""
    by: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read it; what is none is nothing."""
        found = _object(text)
        holder, term = found.get("from"), found.get("term")
        texts = _texts(found, "to", "id", "by")
        if not isinstance(holder, str) or type(term) is not int or not holder or texts is None:
            return None
        return cls(holder, term, *texts)

    @classmethod
    def of(cls, record: Record | None) -> Self | None:
        """Return the request that *record* carries, if it is of the present term, or of the one just released."""
        found = cls.parse(record.request) if record is not None and record.request else None
        if found is None or record is None or found.term != record.transitions:
            return None
        return found if record.holder in ("", found.holder) else None

    def __str__(self) -> str:
        return _text({"from": self.holder, "term": self.term, "to": self.to, "id": self.id, "by": self.by})


@attrs.frozen
class Word:
    """What *holder* says of itself in *term*: why it is *unfit*, if it is, and which request it has *refused*, and why.

    An unfit holder has the Lease because nobody else took it.
    """

    holder: str
    term: int
    unfit: str = ""
    refused: str = ""
    why: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read it; what is none is nothing."""
        found = _object(text)
        holder, term = found.get("holder"), found.get("term")
        texts = _texts(found, "unfit", "refused", "why")
        if not isinstance(holder, str) or type(term) is not int or texts is None:
            return None
        return cls(holder, term, *texts)

    @classmethod
    def of(cls, record: Record | None) -> Self | None:
        """Return the word that *record* carries, if it is its present holder's."""
        found = cls.parse(record.word) if record is not None and record.word else None
        if found is None or record is None or (found.holder, found.term) != (record.holder, record.transitions):
            return None
        return found

    def __str__(self) -> str:
        said = {"unfit": self.unfit, "refused": self.refused, "why": self.why}
        return _text({"holder": self.holder, "term": self.term} | {name: text for name, text in said.items() if text})


def _object(text: str) -> dict[str, object]:
    if len(text) > _LONGEST:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _texts(found: dict[str, object], *names: str) -> list[str] | None:
    """Return the texts of these names, empty where one is missing; ``None`` where one is something else."""
    values = [found.get(name, "") for name in names]
    texts = [value for value in values if isinstance(value, str)]
    return texts if len(texts) == len(values) else None


def _text(fields: dict[str, object]) -> str:
    return json.dumps(fields, separators=(",", ":"))
