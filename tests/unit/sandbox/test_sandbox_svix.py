from pydantic import SecretStr

from sandbox.dials import svix_key
from sandbox.svix import headers

# Vector svix-01: the body of the contract, signed four seconds before its clock.
SECRET = "whsec_WyE3m4YJQKO2tKLXv3XmhRBi7CFhNsTd"
BODY = (
    '{"type":"email.bounced","created_at":"2026-01-01T00:00:00.000Z","data":{"created_at":"2025-12-31T23:59:58.120Z",'
    '"email_id":"56761188-7520-42d8-8898-ff6fc54ce618","from":"BitLoot <orders@example.test>",'
    '"to":["buyer@example.test"],"subject":"Your order is ready \u2014 cl\u00e9 n\u00b0 7",'
    '"tags":{"order":"ord_01J9Z3K4"},"bounce":{"type":"Permanent","subType":"General","message":"unknown user",'
    '"diagnosticCode":["smtp; 550 5.1.1 user unknown"]}}}'
).encode()


def test_the_signature_is_that_of_the_contract():
    signed = headers(svix_key(SecretStr(SECRET)), "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", 1767225596, BODY)
    assert signed == {
        "svix-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "svix-timestamp": "1767225596",
        "svix-signature": "v1,/XcHZER6AeB5+Dn1jE6/YxsGIrCUCbE/TC6E6EaAYtA=",
    }


def test_padding_may_be_missing():
    assert svix_key(SecretStr("whsec_YWJjZA")) == b"abcd"
