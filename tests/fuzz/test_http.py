"""Whatever is asked of the whole app, by whomever, is answered, and never by a fault of ours."""

from tests.fuzz import http


def test_no_request_that_our_own_description_leads_to_ends_in_a_fault_of_ours() -> None:
    http.explore(examples=40)
