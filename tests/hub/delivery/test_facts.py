"""What templates can know of a person."""

from datetime import UTC, datetime

import msgspec
import pytest

from core.bundle import F_LAST, READ_PLAIN, TIMESTAMP, Attribute, BundleDocument, FoldRule
from core.fold import FoldPlan, State
from hub.delivery.email.language import PLAIN
from hub.delivery.facts import facts_of
from tests.hub.bundles import small_document
from tests.hub.events import NOW_MS, event

BORN = 21


def a_document() -> BundleDocument:
    document = small_document()
    born = Attribute("profile.born", TIMESTAMP, READ_PLAIN, BORN, False, None)
    return msgspec.structs.replace(
        document,
        attributes=[*document.attributes, born],
        folds=[*document.folds, FoldRule(BORN, F_LAST, TIMESTAMP, [], property="traits.born")],
    )


def a_record(document: BundleDocument, **traits: object) -> bytes:
    state = State()
    identify = event("Identify", "anon:a", kind="identify", traits=traits)
    state.apply(FoldPlan(document), identify, behaviour=True)
    return state.pack(layout_id=7, sequence=1, packed_at_ms=NOW_MS, unit_key=bytes(16), known=False)


def test_defaults_stand_in_for_what_a_person_lacks() -> None:
    document = a_document()
    facts = facts_of(document, a_record(document, city="Ulm"), NOW_MS)
    assert facts == {"views_30d": 0, "orders": 0, "spent": 0.0, "city": "Ulm"}


def test_a_time_is_one_that_templates_can_write() -> None:
    document = a_document()
    facts = facts_of(document, a_record(document, born="1990-05-17T00:30:00Z"), NOW_MS)
    assert facts["born"] == datetime(1990, 5, 17, 0, 30, tzinfo=UTC)
    assert (
        PLAIN.parse_template('{{ profile.born | date: "%d.%m.%Y" }}').text({"profile": facts}) == "17.05.1990"
    )


@pytest.mark.parametrize("value", [2**53, -(2**53)])
def test_a_time_that_no_calendar_has_is_missing(value: int) -> None:
    document = a_document()
    facts = facts_of(document, a_record(document, born=value), NOW_MS)
    assert "born" not in facts
