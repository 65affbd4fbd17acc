"""
The pages the stand-in draws.
"""

import io

import pytest
from PIL import Image

from batchfetch.sandbox.pages import SMALLEST, draw_page, page_size

TASK_ID = "94b25465-48cc-4485-8669-b18f66bef4ae"


def decoded(page):
    """
    Return the pixels of *page*, decoded by Pillow.
    """
    with Image.open(io.BytesIO(page)) as image:
        assert image.format == "PNG"
        image.load()
        return image.convert("L")


@pytest.mark.parametrize("size", [SMALLEST, 50_000, 1_000_000])
def test_a_page_is_an_image_of_about_the_size_asked_for(size):
    """
    A page is a valid image, and within a tenth of the requested size in bytes.
    """
    page = draw_page(TASK_ID, size, 0)
    decoded(page)
    assert len(page) == pytest.approx(size, rel=0.1)


def test_a_page_is_dark_letters_on_light_paper():
    """
    Most of a page is paper, a considerable part is ink, and the left margin has no ink.
    """
    image = decoded(draw_page(TASK_ID, 100_000, 0))
    shades = image.histogram()
    ink, paper = sum(shades[:64]), sum(shades[192:])
    assert ink + paper == image.width * image.height
    assert 0.05 < ink / paper < 0.5
    assert sum(image.crop((0, 0, 10, image.height)).histogram()[:64]) == 0


def test_no_two_ids_have_the_same_page():
    """
    Pages of different ids differ, also when the ids differ in one digit.
    """
    pages = {draw_page(f"{TASK_ID[:-1]}{digit}", SMALLEST, 0) for digit in "0123456789abcdef"}
    assert len(pages) == 16


def test_a_page_can_be_drawn_again():
    """
    The same id, in any case, and the same seed give the same page.
    """
    pages = {draw_page(task_id, 20_000, 7) for task_id in (TASK_ID, TASK_ID.upper())}
    assert len(pages) == 1


def test_the_seed_changes_the_page():
    """
    Another seed draws another page for the same id.
    """
    assert draw_page(TASK_ID, SMALLEST, 1) != draw_page(TASK_ID, SMALLEST, 2)


@pytest.mark.parametrize("task_id", ["", "x" * 3000, "ÅÖ-漢字-☃"])
def test_any_id_has_a_page(task_id):
    """
    An id may be empty, longer than the page, or of characters that the font does not have.
    """
    dark, light = decoded(draw_page(task_id, SMALLEST, 0)).getextrema()
    assert dark < light


def test_sizes_are_spread_between_the_smallest_and_the_largest():
    """
    The hash of an id determines its size: small and large pages are about equally frequent.
    """
    sizes = [page_size(str(number), 2**20) for number in range(400)]
    assert SMALLEST <= min(sizes) < max(sizes) <= 2**20
    middle = 2**16
    assert 150 < sum(size < middle for size in sizes) < 250


def test_a_largest_below_the_smallest_is_the_smallest():
    """
    A largest size below the smallest gives the smallest.
    """
    assert page_size(TASK_ID, 10) == SMALLEST
