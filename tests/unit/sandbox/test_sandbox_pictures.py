import hashlib
import re
import zlib

import pytest

from sandbox.pictures import picture

# Each was opened with Pillow, and every field had the color of its bit.
KNOWN = {
    "image/png": "47e138db349cfe39a1f8d1e76b034c1e18faf7bcd10cf32c3133eb15e7d76109",
    "image/jpeg": "e6d26e1c2b32f596a25ceb914d5e004ea3bb8d675cbb7418a89f5f7745b1ba5e",
    "image/gif": "a0aa5c2c85481ac946e3bdfcdcdc05eb364e686ecf0ca69818f26f72e573a056",
}


@pytest.mark.parametrize("media_type", list(KNOWN))
def test_the_same_key_is_the_same_picture_for_ever(media_type):
    assert hashlib.sha256(picture(media_type, "ABCDE-FGHJK")).hexdigest() == KNOWN[media_type]


@pytest.mark.parametrize("media_type", list(KNOWN))
def test_no_two_keys_look_alike(media_type):
    pictures = {picture(media_type, f"key-{number}") for number in range(50)}
    assert len(pictures) == 50
    assert max(len(each) for each in pictures) < 2000


def test_the_lines_of_a_png_are_whole():
    data = picture("image/png", "key")
    (packed,) = re.findall(rb"IDAT(.*)....\0\0\0\0IEND", data, re.DOTALL)
    assert len(zlib.decompress(packed)) == 128 * (1 + 256 // 8)


def test_other_types_are_refused():
    with pytest.raises(KeyError):
        picture("image/webp", "key")
