"""The page of `rondo web` in a real browser, at the widths of a desktop and of a telephone.

The browser is a Chromium that is there already: $RONDO_CHROMIUM, or one that is found by its name.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from commands import STUCK_S
from photo_runs import TinyNetwork, class_data
from rondo.tasks.photo.answers import Predictor
from rondo.web.photo import look
from web_pages import SweepingNetwork, portrait, predictor_of, serving

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
WIDTHS = {"desktop": (1280, 900), "telephone": (390, 844)}
WAIT_MS = 1000 * STUCK_S


def chromium() -> str:
    """The browser; skips the test where there is none."""
    found = os.environ.get("RONDO_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(
            f"no Chromium: none of {', '.join(NAMES)} is installed, $RONDO_CHROMIUM is unset"
        )
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return predictor_of(SweepingNetwork())


@pytest.fixture(scope="module")
def address(predictor: Predictor) -> Iterator[str]:
    with serving(predictor) as port:
        yield f"http://127.0.0.1:{port}/"


on_the_desktop = pytest.mark.parametrize("page", ["desktop"], indirect=True)
"""For what a width changes nothing of."""


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """The page, which asks nobody else for anything and raises no error."""
    width, height = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    expect(page.locator("#limits")).not_to_be_empty()
    yield page
    others = [url for url in asked if not url.startswith((address, "data:image/", "blob:"))]
    assert (others, errors) == ([], [])
    context.close()


def choose(page: Page, contents: bytes, name: str = "portrait.png") -> None:
    file = {"name": name, "mimeType": "image/png", "buffer": contents}
    page.set_input_files("#file", files=[file])


def assert_nothing_is_wider_than_the_page(page: Page) -> None:
    wide, room = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= room


def test_a_photo_is_answered_with_its_confidence(page: Page, predictor: Predictor) -> None:
    expected = look(predictor, portrait())
    choose(page, portrait())
    expect(page.locator("#word")).to_have_text(expected["answer"])
    shares = [f"{100 * value:.1f} %" for _, value in expected["probabilities"]]
    expect(page.locator("#bars > span")).to_have_text(["female", shares[0], "male", shares[1]])
    expect(page.locator("#notes")).to_contain_text("It is no basis for any decision about a person")
    assert_nothing_is_wider_than_the_page(page)


@on_the_desktop
def test_an_answer_that_is_not_sure_enough_is_withheld(page: Page, predictor: Predictor) -> None:
    expected = look(predictor, portrait())
    choose(page, portrait())
    least, word = page.locator("#least"), page.locator("#word")
    sure = 100 * expected["probability"]
    least.fill(str(int(sure) + 1))
    expect(word).to_have_text("no answer")
    expect(page.locator("#least-shown")).to_have_text(f"{int(sure) + 1} %")
    least.fill(str(int(sure)))
    expect(word).to_have_text(expected["answer"])
    assert_nothing_is_wider_than_the_page(page)


@on_the_desktop
def test_the_sweeps_run_over_the_photo_in_the_order_of_their_visits(page: Page) -> None:
    choose(page, portrait())
    caption, moment = page.locator("#caption"), page.locator("#moment")
    expect(caption).to_contain_text("↑ up")  # it plays: 4 rows down, then 4 up
    page.click("#play")
    seen = []
    for number in range(16):
        moment.fill(str(number))
        seen.append(caption.inner_text().partition(";")[0])
    assert seen[:8] == [
        *(f"↓ down: row {row} of 4" for row in (1, 2, 3, 4)),
        *(f"↑ up: row {row} of 4" for row in (4, 3, 2, 1)),
    ]
    assert seen[8::4] == ["→ right: column 1 of 4", "← left: column 4 of 4"]
    moment.fill("9")  # of the sweep to the right, two columns were visited
    alphas = page.evaluate(
        "() => [...document.getElementById('heat').getContext('2d').getImageData(0, 0, 4, 1).data]"
    )[3::4]
    assert alphas == [165, 235, 120, 120]
    page.click("#four button[value='1']")
    expect(caption).to_contain_text("↑ up")


@on_the_desktop
def test_the_saliency_takes_the_place_of_the_photo(page: Page, predictor: Predictor) -> None:
    expected = look(predictor, portrait())
    choose(page, portrait())
    page.click("#view button[value=saliency]")
    expect(page.locator("#shown")).to_have_attribute("src", expected["saliency"])
    expect(page.locator("#heat")).to_be_hidden()
    page.click("#view button[value=photo]")
    expect(page.locator("#shown")).to_have_attribute("src", expected["photo"])


GIVE = """([kind, bytes, target]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "portrait.png", { type: "image/png" }));
  const event = kind === "drop"
    ? new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })
    : new ClipboardEvent(kind, { clipboardData: data, bubbles: true });
  document.querySelector(target).dispatchEvent(event);
}"""
"""Drops or pastes a file of some bytes, or of as many zeros as a number says."""


@on_the_desktop
def test_a_bad_file_gets_a_message_and_a_good_one_takes_it_away(page: Page) -> None:
    choose(page, b"not a picture", "letter.txt")
    message = page.locator("#photo-message")
    expect(message).to_contain_text("is not a picture in one of the formats JPEG, PNG")
    expect(message).to_be_in_viewport()
    expect(page.locator("#answer")).to_be_hidden()
    page.evaluate(GIVE, ["drop", 20_000_001, "#stage"])
    expect(message).to_have_text(
        "This file has 20.1 MB; at most 20 MB are taken. Save a smaller copy."
    )
    choose(page, portrait())
    expect(page.locator("#answer")).to_be_visible()
    expect(message).to_be_hidden()


@on_the_desktop
@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photo_is_dropped_or_pasted(page: Page, kind: str) -> None:
    target = "#stage" if kind == "drop" else "body"
    page.evaluate(GIVE, [kind, list(portrait(size=(32, 32))), target])
    expect(page.locator("#answer")).to_be_visible()


def test_a_photo_is_taken_with_the_camera(page: Page) -> None:
    page.click("#camera")
    expect(page.locator("#camera-view")).to_be_visible()
    page.click("#camera-off")
    expect(page.locator("#camera-view")).to_be_hidden()
    page.click("#camera")
    page.click("#shoot")
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#camera-view")).to_be_hidden()


@on_the_desktop
def test_a_drawing_can_be_tried(page: Page) -> None:
    page.click("#try")
    expect(page.locator("#answer")).to_be_visible()


def test_what_it_must_not_be_used_for_is_said_at_once(page: Page) -> None:
    expect(
        page.get_by_text("Never use its answer to decide anything about a person")
    ).to_be_visible()
    expect(page.get_by_text("No photo is kept.")).to_be_visible()
    page.click("#to-uses")
    expect(page.get_by_role("heading", name="What this must not be used for")).to_be_in_viewport()


def test_a_cell_is_drawn_folded_unrolled_planned_and_compiled(page: Page) -> None:
    page.click("#tab-cell")
    drawing = page.locator("#drawing")
    expect(drawing).to_have_attribute("data-shows", "gru graph")
    expect(page.locator("#equations")).to_contain_text("The gated recurrent unit")
    page.click("#cell-stage button[value=unrolled]")
    expect(drawing).to_have_attribute("data-shows", "gru unrolled 3")
    page.locator("#steps").fill("2")
    expect(drawing).to_have_attribute("data-shows", "gru unrolled 2")
    expect(drawing).to_contain_text("y(2)")
    expect(drawing).not_to_contain_text("y(3)")
    page.click("#cell-stage button[value=plan]")
    expect(drawing).to_contain_text("once, for all steps together")
    page.click("#cell-stage button[value=source]")
    expect(page.locator("#source")).to_contain_text("#include <math.h>")
    hidden, shown = page.locator("#source").evaluate("(pre) => [pre.scrollTop, pre.scrollHeight]")
    assert 0.4 * shown < hidden < 0.8 * shown  # where the functions of this cell begin
    page.select_option("#cell-name", "lstm")
    expect(page.locator("#source")).to_have_attribute("data-shows", "lstm source")
    expect(page.locator("#equations")).to_contain_text("c(t)")
    assert_nothing_is_wider_than_the_page(page)


def drawn_width(page: Page) -> float:
    width: float = page.locator("#drawing svg").evaluate(
        "(svg) => svg.getBoundingClientRect().width"
    )
    return width


def test_a_drawing_becomes_larger_and_smaller_by_buttons_and_keys(page: Page) -> None:
    page.click("#tab-cell")
    drawing = page.locator("#drawing")
    page.click("#cell-stage button[value=backward]")
    expect(drawing).to_have_attribute("data-shows", "gru backward")
    fit = drawn_width(page)
    assert fit <= drawing.evaluate("(paper) => paper.clientWidth")
    for _ in range(4):
        page.click("#zoom button[value=in]")
    assert drawn_width(page) == pytest.approx(1.25**4 * fit, rel=0.01)
    assert_nothing_is_wider_than_the_page(page)
    drawing.focus()
    page.keyboard.press("-")
    assert drawn_width(page) == pytest.approx(1.25**3 * fit, rel=0.01)
    page.keyboard.press("+")
    page.keyboard.press("0")
    assert drawn_width(page) == pytest.approx(fit, rel=0.01)
    page.click("#zoom button[value=out]")
    assert drawn_width(page) < fit
    expect(page.locator("#zoom output")).to_contain_text("%")


def test_the_tabs_are_reached_by_keys(page: Page) -> None:
    page.locator("#tab-photo").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#cell")).to_be_visible()
    expect(page.locator("#tab-cell")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#cell-name")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.locator("#tab-cell").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#training")).to_be_visible()


def test_a_table_of_a_docstring_is_a_table(page: Page) -> None:
    page.click("#tab-cell")
    page.select_option("#cell-name", "lstm-nig")
    expect(page.locator("#equations th[scope=row]").first).to_have_text("vanilla")
    expect(page.locator("#equations")).not_to_contain_text("|---")
    assert_nothing_is_wider_than_the_page(page)


def serious_findings(page: Page) -> list[str]:
    """What axe finds that keeps people from using the page; skips the test where it is not."""
    axe = os.environ.get("RONDO_AXE")
    if axe is None:
        pytest.skip("$RONDO_AXE names no axe.min.js; `npm pack axe-core` fetches it")
    page.evaluate(Path(axe).read_text(encoding="utf-8"))  # which the page's own rules let in
    found = page.evaluate("() => axe.run()")
    return [
        f"{one['id']}: {[node['html'] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tab", ["photo", "cell", "training"])
def test_axe_finds_nothing_serious(page: Page, tab: str, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.click(f"#tab-{tab}")
    if tab == "photo":
        choose(page, portrait())
        expect(page.locator("#word")).not_to_be_empty()
    if tab == "cell":
        page.select_option("#cell-name", "lstm-nig")
        expect(page.locator("#equations table")).to_be_visible()
    if tab == "training":
        page.click("#start")
        expect(page.locator("#gates canvas").first).to_be_attached()
        page.click("#stop")
    assert serious_findings(page) == []


def test_a_training_is_drawn_as_it_goes_and_can_be_stopped(page: Page) -> None:
    page.click("#tab-training")
    page.select_option("#task", "adding")
    page.fill("#length", "300")
    page.click("#start")
    expect(page.locator("#flow-chart path.c0.old").first).to_be_attached()
    expect(page.locator("#train-status")).to_contain_text("sequences/s")
    expect(page.locator("#flow-chart")).to_contain_text("h now")
    expect(page.locator("#loss-chart path.c0").first).to_be_attached()
    expect(page.locator("#gates canvas")).to_have_count(3)
    page.click("#stop")
    expect(page.locator("#train-status")).to_contain_text("stopped")
    expect(page.locator("#start")).to_be_enabled()
    assert_nothing_is_wider_than_the_page(page)


@on_the_desktop
def test_what_cannot_be_trained_gets_a_message(page: Page) -> None:
    page.click("#tab-training")
    expect(page.locator("#task option").first).to_be_attached()
    page.locator("#train-form").evaluate("(form) => (form.noValidate = true)")
    page.fill("#length", "301")
    page.click("#start")
    expect(page.locator("#train-message")).to_have_text(
        "the length must be a whole number from 1 to 300, got 301"
    )


def test_a_network_that_does_not_sweep_says_so(browser: Browser) -> None:
    with serving(predictor_of(TinyNetwork())) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("#limits")).not_to_be_empty()
        choose(page, portrait())
        expect(page.locator("#no-sweeps")).to_be_visible(timeout=WAIT_MS)
        expect(page.locator("#heat")).to_be_hidden()
        page.close()


def test_classes_that_are_not_of_people_have_no_warning_and_no_portraits(browser: Browser) -> None:
    with serving(predictor_of(SweepingNetwork(), class_data(("cat", "dog")))) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("#of-classes")).to_contain_text("this one: cat, dog.")
        for hidden in ("#of-people", "#uses", "#try"):
            expect(page.locator(hidden)).to_be_hidden()
        choose(page, portrait())
        expect(page.locator("#word")).to_have_text(re.compile("^(cat|dog)$"), timeout=WAIT_MS)
        page.close()


def test_faces_are_warned_of(browser: Browser) -> None:
    with serving(predictor_of(SweepingNetwork())) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("#limits")).not_to_be_empty()
        for shown in ("#of-people", "#uses", "#try"):
            expect(page.locator(shown)).to_be_visible()
        expect(page.locator("#of-classes")).to_be_hidden()
        page.close()


def test_a_page_without_a_run_begins_with_cells(browser: Browser) -> None:
    with serving(None) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("#cell")).to_be_visible(timeout=WAIT_MS)
        page.click("#tab-photo")
        expect(page.locator("#no-run")).to_contain_text("rondo web last")
        expect(page.locator("#photo-columns")).to_be_hidden()
        page.close()
