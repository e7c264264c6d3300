"""What a Service asks for in vain is in the log, in an Event and in a metric, and keeps nothing else from it."""

import logging

import pytest

from kubevip.service import ADDRESSES, ServiceView
from kubevip.testing import Segment, virtual
from tests.controllers.test_own_leases import WEB, serving

TOLD = "annotation kubevip.io/grp means nothing; is kubevip.io/group meant?"


@virtual
async def test_an_annotation_that_means_nothing_is_told_everywhere(
    segment: Segment, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(segment) as here:
        here.apply(WEB, {"kubevip.io/grp": "dns"})
        assert here.events[0] == (WEB, "NotSupported", TOLD)
        told = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert [(line.message, line.service, line.reason) for line in told] == [
            ("the Service asks in vain", str(WEB), TOLD)
        ]
        assert (here.services.statistics().wanted, here.services.statistics().in_vain) == (1, 1)


@virtual
async def test_it_is_over_with_the_annotation(segment: Segment) -> None:
    async with serving(segment) as here:
        here.apply(WEB, {"kubevip.io/grp": "dns"})
        here.services.applied(ServiceView(key=WEB, annotations={ADDRESSES: "10.0.0.99"}))
        assert here.services.statistics().in_vain == 0
