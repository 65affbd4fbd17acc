"""
The stand-in's tokens, with the time handed in.
"""

import pytest

from batchfetch.sandbox.tokens import ACCESS_TOKEN, REFUSED_CLIENT_ID, Refusal, TokenDesk

GRANT = "client_credentials"


@pytest.fixture
def desk():
    return TokenDesk(life=60, seed=0)


def test_any_credentials_get_a_token(desk):
    """
    A token given for made-up credentials is accepted, whatever the scheme's case.
    """
    token = desk.issue(GRANT, "anyone", "anything", 0)
    assert desk.accepts(f"Bearer {token}", 0)
    assert desk.accepts(f"bearer {token}", 0)


def test_a_token_dies_of_age(desk):
    """
    A token is good until its life is over.
    """
    token = desk.issue(GRANT, "anyone", "anything", 100)
    assert [desk.accepts(f"Bearer {token}", now) for now in (159.9, 160)] == [True, False]


def test_every_token_is_new(desk):
    """
    The same credentials get another token each time, and both are good.
    """
    tokens = {desk.issue(GRANT, "anyone", "anything", 0) for _ in range(3)}
    assert len(tokens) == 3
    assert all(desk.accepts(f"Bearer {token}", 1) for token in tokens)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer made-up", "Basic sandbox", "sandbox"])
def test_nothing_else_is_accepted(desk, header):
    """
    A missing, unknown or otherwise presented token is refused.
    """
    assert not desk.accepts(header, 0)


def test_one_token_is_published(desk):
    """
    Jobs that bring a ready token have one that never expires.
    """
    assert desk.accepts(f"Bearer {ACCESS_TOKEN}", 10**9)


def test_revoked_tokens_are_refused(desk):
    """
    Revoking makes the tokens given so far worthless, not those to come.
    """
    old = desk.issue(GRANT, "anyone", "anything", 0)
    desk.revoke_all()
    new = desk.issue(GRANT, "anyone", "anything", 0)
    assert [desk.accepts(f"Bearer {token}", 0) for token in (old, new)] == [False, True]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("password", "a", "b"), "unsupported_grant_type"),
        (("", "a", "b"), "unsupported_grant_type"),
        ((GRANT, "", "b"), "invalid_client"),
        ((GRANT, "a", ""), "invalid_client"),
        ((GRANT, REFUSED_CLIENT_ID, "b"), "invalid_client"),
    ],
)
def test_unusable_requests_are_refused(desk, words, error):
    """
    Another grant, missing credentials and the client that is always refused get no token.
    """
    assert desk.issue(*words, 0) == Refusal(error)


def test_five_failures_lock_the_pair(desk):
    """
    After five failed requests the pair is told to wait ten minutes, and may then try again.
    """
    answers = [desk.issue(GRANT, REFUSED_CLIENT_ID, "b", now) for now in range(6)]
    assert [answer.retry_after for answer in answers] == [None] * 5 + [600]
    assert desk.issue(GRANT, REFUSED_CLIENT_ID, "b", 603).retry_after == 600
    assert desk.issue(GRANT, REFUSED_CLIENT_ID, "b", 604).retry_after is None


def test_other_pairs_are_not_locked(desk):
    """
    Failures count for the pair that made them alone.
    """
    for now in range(6):
        desk.issue(GRANT, REFUSED_CLIENT_ID, "b", now)
    assert isinstance(desk.issue(GRANT, "anyone", "anything", 6), str)
