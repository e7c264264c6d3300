"""What a Service says about itself: first seen, edited by its user, or wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.ipam import DHCP_MARKER
from kubevip.provision.verdict import (
    CLAIM,
    LABEL,
    LABELLED,
    RECORD,
    Classes,
    Facts,
    Has,
    Lacks,
    Origin,
    Verdict,
    Wrong,
    claim_of,
    written,
)
from kubevip.provision.verdict import examine as examine_for
from kubevip.service import ADDRESSES
from tests.provider.services import (
    ips,
    labelled,
    recorded_as,
    service,
)

POOL = "range-global"
ONE, TWO, NINE = ips("10.0.0.1"), ips("10.0.0.2"), ips("10.0.0.9")
BOTH = ips("10.0.0.1,fd00::1")
SOMETHING = st.text(max_size=30) | st.text(alphabet="10.:fd, /", max_size=12)


def examine(facts: Facts, classes: Classes | None = None) -> Verdict:
    return examine_for(facts, classes or Classes())


# First seen


def test_one_that_says_nothing_lacks_an_address() -> None:
    assert examine(service()) == Lacks()


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_annotation_is_none(text: str) -> None:
    assert examine(service(text=text)) == Lacks()


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_annotation_is_none_on_what_kube_vip_cloud_provider_has_labelled(text: str) -> None:
    assert examine(labelled(text=text, spec="")) == Lacks()


def test_an_annotation_is_a_wish_of_its_user() -> None:
    assert examine(service(text="10.0.0.1")) == Has(ONE, Origin.ANNOTATION, settled=False)


def test_an_annotation_may_list_several_with_blanks_between() -> None:
    assert examine(service(text=" 10.0.0.1 , fd00::1 ")) == Has(BOTH, Origin.ANNOTATION, settled=False)


def test_an_address_that_is_listed_twice_counts_once() -> None:
    assert examine(service(text="10.0.0.1,10.0.0.1")) == Has(ONE, Origin.ANNOTATION, settled=False)


def test_the_spec_is_a_wish_of_its_user() -> None:
    assert examine(service(spec="10.0.0.1")) == Has(ONE, Origin.SPEC, settled=False)


def test_the_annotation_goes_before_the_spec() -> None:
    assert examine(service(text="10.0.0.2", spec="10.0.0.1")) == Has(TWO, Origin.ANNOTATION, settled=False)


def test_both_being_equal_without_a_label_is_a_users_doing() -> None:
    assert examine(service(text="10.0.0.1", spec="10.0.0.1")) == Has(ONE, Origin.ANNOTATION, settled=False)


def test_labelled_with_both_equal_it_has_what_kube_vip_cloud_provider_gave_it() -> None:
    assert examine(labelled(text="10.0.0.1")) == Has(ONE, "", settled=True)


def test_labelled_with_two_families_it_has_both() -> None:
    assert examine(labelled(text="10.0.0.1,fd00::1")) == Has(BOTH, "", settled=True)


def test_labelled_with_the_annotation_alone_its_user_wrote_it() -> None:
    assert examine(labelled(text="10.0.0.1", spec="")) == Has(ONE, Origin.ANNOTATION, settled=True)


def test_labelled_with_another_spec_the_annotation_is_what_was_served() -> None:
    assert examine(labelled(text="10.0.0.1", spec="10.0.0.9")) == Has(ONE, Origin.ANNOTATION, settled=True)


def test_another_value_of_the_label_is_no_label() -> None:
    facts = service(text="10.0.0.1", spec="10.0.0.1", labels={LABEL: "mine"})
    assert examine(facts) == Has(ONE, Origin.ANNOTATION, settled=False)


def test_the_dhcp_marker_is_an_address() -> None:
    assert examine(service(spec="0.0.0.0")) == Has((DHCP_MARKER,), Origin.SPEC, settled=False)


# Edited since our provider has recorded what it had


@pytest.mark.parametrize("origin", [POOL, Origin.ANNOTATION, Origin.SPEC])
def test_unedited_it_has_what_it_had(origin: str) -> None:
    assert examine(recorded_as(origin, "10.0.0.1,fd00::1")) == Has(BOTH, origin, settled=True)


@pytest.mark.parametrize("origin", [POOL, Origin.ANNOTATION, Origin.SPEC])
def test_a_new_annotation_is_a_wish(origin: str) -> None:
    assert examine(recorded_as(origin, "10.0.0.1", text="10.0.0.9")) == Has(NINE, Origin.ANNOTATION, settled=False)


@pytest.mark.parametrize("origin", [POOL, Origin.ANNOTATION, Origin.SPEC])
def test_a_new_spec_is_a_wish(origin: str) -> None:
    assert examine(recorded_as(origin, "10.0.0.1", spec="10.0.0.9")) == Has(NINE, Origin.SPEC, settled=False)


def test_of_two_new_ones_the_annotation_counts() -> None:
    facts = recorded_as(POOL, "10.0.0.1", text="10.0.0.9", spec="10.0.0.2")
    assert examine(facts) == Has(NINE, Origin.ANNOTATION, settled=False)


def test_a_new_spec_leaves_the_address_of_the_other_family() -> None:
    facts = recorded_as(POOL, "10.0.0.1,fd00::1", spec="10.0.0.9")
    assert examine(facts) == Has(ips("10.0.0.9,fd00::1"), Origin.SPEC, settled=False)


def test_a_new_spec_of_the_second_family_goes_first() -> None:
    facts = recorded_as(POOL, "10.0.0.1,fd00::1", spec="fd00::9")
    assert examine(facts) == Has(ips("fd00::9,10.0.0.1"), Origin.SPEC, settled=False)


def test_a_new_spec_doesnt_keep_the_dhcp_marker() -> None:
    facts = recorded_as("cidr-global", "0.0.0.0", spec="fd00::9")
    assert examine(facts) == Has(ips("fd00::9"), Origin.SPEC, settled=False)


def test_other_blanks_are_no_edit() -> None:
    facts = recorded_as(POOL, "10.0.0.1,fd00::1", text=" 10.0.0.1, fd00:0::1 ")
    assert examine(facts) == Has(BOTH, POOL, settled=True)


@pytest.mark.parametrize("gone", [{"text": None}, {"text": " "}, {"spec": ""}])
def test_from_a_pool_it_keeps_its_address_while_one_place_says_it(gone: dict[str, str]) -> None:
    assert examine(recorded_as(POOL, "10.0.0.1,fd00::1", **gone)) == Has(BOTH, POOL, settled=True)


@pytest.mark.parametrize("origin", [POOL, Origin.ANNOTATION, Origin.SPEC])
def test_without_both_it_lacks_an_address(origin: str) -> None:
    assert examine(recorded_as(origin, "10.0.0.1", text=None, spec="")) == Lacks()


def test_without_the_annotation_that_its_user_wrote_it_lacks_an_address() -> None:
    assert examine(recorded_as(Origin.ANNOTATION, "10.0.0.1", text=None)) == Lacks()


def test_without_the_spec_that_its_user_wrote_it_lacks_an_address() -> None:
    assert examine(recorded_as(Origin.SPEC, "10.0.0.1", spec="")) == Lacks()


def test_of_what_its_user_wrote_the_providers_copy_is_restored() -> None:
    assert examine(recorded_as(Origin.ANNOTATION, "10.0.0.1", spec="")) == Has(ONE, Origin.ANNOTATION, settled=True)
    assert examine(recorded_as(Origin.SPEC, "10.0.0.1", text=None)) == Has(ONE, Origin.SPEC, settled=True)


def test_without_the_label_it_has_what_is_recorded() -> None:
    assert examine(recorded_as(POOL, "10.0.0.1", labels={})) == Has(ONE, POOL, settled=True)


@pytest.mark.parametrize("record", ["", "rubbish", "range-global", "range-global ", "range-global x", " 10.0.0.1"])
def test_a_spoilt_record_is_none(record: str) -> None:
    facts = labelled(text="10.0.0.1", annotations={RECORD: record})
    assert examine(facts) == Has(ONE, "", settled=True)


# Wrong


def test_what_is_no_address_is_named() -> None:
    verdict = examine(service(text="10.0.0.1,nonsense,10.0.0.999"))
    assert isinstance(verdict, Wrong)
    assert [problem.partition(" is not")[0] for problem in verdict.problems] == ["'nonsense'", "'10.0.0.999'"]


def test_its_addresses_that_can_be_read_are_in_use() -> None:
    facts = recorded_as(POOL, "10.0.0.1", text="10.0.0.2,nonsense", spec="10.0.0.1", ingress=("10.0.0.9",))
    verdict = examine(facts)
    assert isinstance(verdict, Wrong)
    assert set(verdict.addresses) == {*ONE, *TWO, *NINE}


def test_a_bad_spec_is_wrong_even_beside_a_good_annotation() -> None:
    assert isinstance(examine(service(text="10.0.0.1", spec="nonsense")), Wrong)


def test_a_spec_of_several_addresses_is_wrong_and_what_to_write_is_said() -> None:
    verdict = examine(service(spec="10.0.0.1,10.0.0.2"))
    assert isinstance(verdict, Wrong)
    assert verdict.problems == (
        f"spec.loadBalancerIP '10.0.0.1,10.0.0.2' is more than one address: write them into {ADDRESSES}",
    )


def test_a_spec_of_several_addresses_frees_nothing_that_it_had() -> None:
    verdict = examine(recorded_as(POOL, "10.0.0.1", spec="10.0.0.2,10.0.0.9"))
    assert isinstance(verdict, Wrong)
    assert set(verdict.addresses) == {*ONE, *TWO, *NINE}


@pytest.mark.parametrize("text", ["fd00::1%eth0", "::ffff:10.0.0.1", "010.0.0.1", "10.0.0.1/24", "10.0.0.1,,", "é"])
def test_strictly_read(text: str) -> None:
    assert isinstance(examine(service(text=text)), Wrong)


@given(SOMETHING, SOMETHING, SOMETHING, SOMETHING, st.booleans(), st.booleans())
def test_whatever_is_written_there_is_a_verdict(
    text: str, spec: str, record: str, claim: str, is_labelled: bool, deleting: bool
) -> None:
    facts = service(
        text=text,
        spec=spec,
        annotations={RECORD: record, CLAIM: claim},
        labels={LABEL: LABELLED} if is_labelled else {},
        deleting=deleting,
        ingress=(text, spec),
    )
    assert isinstance(examine(facts), Verdict)
    written(facts)
    claim_of(facts)
