"""
Access tokens of the stand-in, with the time as an argument.
"""

import pytest

from batchfetch.sandbox.tokens import ACCESS_TOKEN, REFUSED_CLIENT_ID, Refusal, TokenIssuer

GRANT = "client_credentials"


@pytest.fixture
def issuer():
    return TokenIssuer(life=60, seed=0)


def test_any_credentials_get_a_token(issuer):
    """
    A token issued for made-up credentials is accepted, with the scheme in any case.
    """
    token = issuer.issue(GRANT, "anyone", "anything", 0)
    assert issuer.accepts(f"Bearer {token}", 0)
    assert issuer.accepts(f"bearer {token}", 0)


def test_a_token_expires(issuer):
    """
    A token is valid until its life is over.
    """
    token = issuer.issue(GRANT, "anyone", "anything", 100)
    assert [issuer.accepts(f"Bearer {token}", now) for now in (159.9, 160)] == [True, False]


def test_every_token_is_new(issuer):
    """
    The same credentials get another token each time, and all of them are valid.
    """
    tokens = {issuer.issue(GRANT, "anyone", "anything", 0) for _ in range(3)}
    assert len(tokens) == 3
    assert all(issuer.accepts(f"Bearer {token}", 1) for token in tokens)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer made-up", "Basic sandbox", "sandbox"])
def test_nothing_else_is_accepted(issuer, header):
    """
    A token that is missing, unknown or in another form is refused.
    """
    assert not issuer.accepts(header, 0)


def test_one_token_is_published(issuer):
    """
    The published token never expires.
    """
    assert issuer.accepts(f"Bearer {ACCESS_TOKEN}", 10**9)


def test_revoked_tokens_are_refused(issuer):
    """
    Revoking invalidates the tokens issued before, not those issued after.
    """
    old = issuer.issue(GRANT, "anyone", "anything", 0)
    issuer.revoke_all()
    new = issuer.issue(GRANT, "anyone", "anything", 0)
    assert [issuer.accepts(f"Bearer {token}", 0) for token in (old, new)] == [False, True]


@pytest.mark.parametrize(
    ("request_fields", "error"),
    [
        (("password", "a", "b"), "unsupported_grant_type"),
        (("", "a", "b"), "unsupported_grant_type"),
        ((GRANT, "", "b"), "invalid_client"),
        ((GRANT, "a", ""), "invalid_client"),
        ((GRANT, REFUSED_CLIENT_ID, "b"), "invalid_client"),
    ],
)
def test_unusable_requests_are_refused(issuer, request_fields, error):
    """
    Another grant, missing credentials and the client that is always refused get no token.
    """
    assert issuer.issue(*request_fields, 0) == Refusal(error)


def test_five_failures_lock_the_pair(issuer):
    """
    After five failed requests the credentials are locked for ten minutes.
    """
    answers = [issuer.issue(GRANT, REFUSED_CLIENT_ID, "b", now) for now in range(6)]
    assert [answer.retry_after for answer in answers] == [None] * 5 + [600]
    assert issuer.issue(GRANT, REFUSED_CLIENT_ID, "b", 603).retry_after == 600
    assert issuer.issue(GRANT, REFUSED_CLIENT_ID, "b", 604).retry_after is None


def test_other_pairs_are_not_locked(issuer):
    """
    Failures are counted separately for each pair of id and secret.
    """
    for now in range(6):
        issuer.issue(GRANT, REFUSED_CLIENT_ID, "b", now)
    assert isinstance(issuer.issue(GRANT, "anyone", "anything", 6), str)
