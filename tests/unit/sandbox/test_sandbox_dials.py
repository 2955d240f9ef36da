import pytest
from pydantic import ValidationError

from sandbox.dials import SECRETS as SECRET_DIALS
from sandbox.dials import Dials, Panel
from sandbox.settings import Settings, complaint
from tests.fakes.sandbox import SECRETS, sandbox_settings


@pytest.fixture
def panel():
    return Panel(sandbox_settings())


def test_named_dials_change_and_the_others_stay(panel):
    panel.change({"keyDelay": 3})
    panel.change({"codes_field": "keys"})
    assert (panel.dials.key_delay, panel.dials.codes_field) == (3, "keys")
    panel.reset()
    assert (panel.dials.key_delay, panel.dials.codes_field) == (0.2, "codes")


def test_a_mistake_changes_nothing(panel):
    with pytest.raises(ValidationError):
        panel.change({"keyDelay": 3, "codesFild": "keys"})
    assert panel.dials.key_delay == 0.2


@pytest.mark.parametrize(
    "wanted",
    [
        {"keyDelay": -1},
        {"webhookDrop": 2},
        {"latency": "soon"},
        {"kinguinWebhookSecret": ""},
        {"notDeliveredStatus": 500},
    ],
)
def test_values_out_of_range_are_refused(panel, wanted):
    with pytest.raises(ValidationError):
        panel.change(wanted)


def test_events_want_a_secret_that_can_sign(panel):
    panel.change({"resendWebhookSecret": "not base64!"})
    with pytest.raises(ValidationError, match="whsec_"):
        panel.change({"resendEvents": ["email.sent"]})


def test_secrets_are_never_shown(panel):
    shown = str(panel.shown())
    assert "keyDelay" in shown
    # The client id is a name, not a secret.
    assert not [secret for name, secret in SECRETS.items() if name != "kinguin_client_id" and secret in shown]


def test_every_dial_that_hides_its_value_counts_as_a_secret():
    hidden = {name for name, dial in Dials.model_fields.items() if "SecretStr" in str(dial.annotation)}
    assert hidden == SECRET_DIALS


def test_a_missing_setting_is_named_in_one_sentence(monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name.upper(), "x")
    monkeypatch.delenv("INGRESS_URL", raising=False)
    monkeypatch.setenv("RESEND_API_KEY", "")
    with pytest.raises(ValidationError) as failure:
        Settings()
    sentence = complaint(failure.value)
    assert "INGRESS_URL" in sentence
    assert "RESEND_API_KEY" in sentence
    assert "\n" not in sentence
