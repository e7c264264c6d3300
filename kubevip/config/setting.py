"""What the table of settings is made of: one ``Setting`` a name, hung on the attrs field that it fills.

Everything that has to know a setting reads it here: the loader, the flags, ``--help``, the documentation
page and the manifests. So a name can't be parsed and undocumented, or documented and not parsed.
"""

import enum
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs

T = TypeVar("T")
_METADATA = "kubevip.config"


class Origin(enum.Enum):
    """Where a value was written, the strongest first."""

    ENVIRONMENT = "environment"
    FLAG = "flag"
    FILE = "config file"


@attrs.frozen
class Form(Generic[T]):
    """How values of one kind are written: *read* and *write* are inverse to each other.

    *read* raises ``ValueError`` with a sentence of what would be right, without the name and the value,
    which the caller puts in front.
    """

    name: str
    read: Callable[[str], T]
    write: Callable[[T], str] = str


@attrs.frozen
class Supported:
    """The setting does what it says."""


@attrs.frozen
class NoEffect:
    """The setting is accepted and does nothing; *why* is told to whoever sets it, unless *silent*."""

    why: str
    silent: bool = False


@attrs.frozen
class NotYet:
    """Any value but the default would need *feature*, which isn't there: refused, naming it and *instead*."""

    feature: str
    instead: str


Support = Supported | NoEffect | NotYet


@attrs.frozen(kw_only=True)
class Alias:
    """Another name of a setting, which counts only where the setting's own name isn't set."""

    env: str
    flags: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    note: str = ""


@attrs.frozen(kw_only=True)
class Setting:
    """One setting: its names, how it is written, what it is without being set, and what it means.

    *env* is empty for what kube-vip takes by flag only. *keys* are the names in a config file beside *env*.
    *needs* names settings of which one must be on for this one to matter. *gate* names a setting without
    which this one isn't even parsed. *empty_counts* lists where an empty text is a value; elsewhere it
    means "not set". *many*: the flag may be repeated, which joins the texts by commas.
    """

    env: str
    form: Form[Any]
    help: str
    default: Any = None
    default_text: str = ""
    aliases: tuple[Alias, ...] = ()
    flags: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    since: str = ""
    support: Support = Supported()
    needs: tuple[str, ...] = ()
    gate: str = ""
    empty_counts: frozenset[Origin] = frozenset()
    secret: bool = False
    many: bool = False

    @property
    def name(self) -> str:
        """The one name that stands for the setting everywhere."""
        return self.env or self.flags[0].lstrip("-")

    @property
    def names(self) -> tuple[Alias, ...]:
        """Every way to name it, its own first."""
        return (Alias(env=self.env, flags=self.flags, keys=self.keys), *self.aliases)

    @property
    def default_shown(self) -> str:
        """The default as one would write it; empty if there is none."""
        if self.default_text or self.default is None:
            return self.default_text
        return self.form.write(self.default)

    def is_on(self, value: object) -> bool:
        """Tell whether *value* asks for something that the default doesn't."""
        return bool(value != self.default)


def setting(*, factory: Callable[[], Any] | None = None, **facts: Any) -> Any:
    """Declare an attrs field that a ``Setting`` fills; the arguments are the Setting's.

    *factory* gives the value where it is known at start only; *default_text* then says what it is.
    """
    fact = Setting(**facts)
    default = attrs.Factory(factory) if factory else fact.default
    return attrs.field(default=default, metadata={_METADATA: fact})


def settings_of(group: type) -> tuple[tuple[str, Setting], ...]:
    """Return the settings of the attrs class *group*, each with the name of its field, in order."""
    return tuple((field.name, field.metadata[_METADATA]) for field in attrs.fields(group))
