"""What this node is to hold now: what it leads and may claim, and nobody else answers for."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import attrs

from kubevip.model import Family, Term, Vip
from kubevip.runtime.clearance import Clearance, Manner
from kubevip.runtime.holdings import Holdings
from kubevip.runtime.mandates import Mandates
from kubevip.runtime.parting import Parting


@attrs.define(eq=False)
class Entitlement:
    """Judges VIPs by what electors, the wire and links have told."""

    _mandates: Mandates
    _held: Holdings
    _clearance: Clearance
    _parting: Parting

    def desired(self, vips: AbstractSet[Vip]) -> Mapping[Vip, Term]:
        """Return those of *vips* that are to be held, and need no asking, or have been asked for."""
        led: Mapping[Vip, Term] = self._mandates.terms(vips)
        if self._mandates.leaving:
            led = {
                vip: term for vip, term in led.items() if self._mandates.may_claim(vip) or self._parting.lingers(vip)
            }
        lacking = self._clearance.lacking(led.keys())
        if not lacking:
            return led
        # What is on our link needs no asking: to remove it for that would be an outage.
        self._clearance.grant(vip for vip in lacking if self._held.is_on_link(vip) and not self._clearance.rival(vip))
        self._clearance.seek(lacking, Manner.YIELD)
        lacking = self._clearance.lacking(lacking)
        return {vip: term for vip, term in led.items() if vip not in lacking}

    def renewals_among(self, vips: AbstractSet[Vip]) -> AbstractSet[Vip]:
        """Return those of *vips* that are held and announced already."""
        return self._mandates.terms(self._held.announced & vips).keys()

    def arrivals_among(self, vips: AbstractSet[Vip]) -> AbstractSet[Vip]:
        """Return those of *vips* that may be held from now on."""
        terms = self._mandates.terms(vips)
        return {vip for vip in terms if self._mandates.may_claim(vip)} if self._mandates.leaving else terms.keys()

    def families(self) -> set[Family]:
        """Return the families of what is held by a term."""
        return {vip.family for vip in self._mandates.terms(self._held.entries.keys())}
