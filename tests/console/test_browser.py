"""The console in Debian's Chromium, beside a running detector, on a real Apache Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from detector.console.access import user_entry
from tests.conftest import program
from tests.console.stack import Console, write
from tests.integration.process import Detector
from tests.integration.test_run import make_topics, until
from tests.kafka_node import KafkaNode

pytestmark = pytest.mark.kafka

SIZES = {"phone": (390, 844), "desk": (1440, 900)}
EVIL = "<script>stolen=1</script><img src=x onerror=stolen=1>"
CASES = 12
PASSWORD = "knows the word"
START_MS = 1_772_380_802_272
LOOKS_EVERY_MS = 3_000


class Stack(NamedTuple):
    node: KafkaNode
    prefix: str
    detector: Detector
    console: Console
    cases: dict[str, str]

    def verdicts(self) -> list[dict[str, Any]]:
        found = self.node.read_all(f"{self.prefix}-verdicts", 10)
        return [orjson.loads(each.value) for each in found]

    def confirmed_after_a_tip(self) -> float:
        """Confirming verdicts that the detector has read; it looks for them when tips come."""
        tip = {"event_id": uuid.uuid4().hex, "event_time": START_MS, "tipper_id": "adult",
               "streamer_id": "s1", "amount": "1", "currency": "CNY"}  # fmt: skip
        write(self.node, f"{self.prefix}-tips", [tip])
        return self.detector.metric("judged_total", kind="minor", verdict="confirmed")

    def case_of(self, tipper: str) -> str:
        """The path of a tipper's case, as the page that called the reviewer names it."""
        return f"/cases/{self.cases[tipper]}"


def tips() -> list[dict[str, Any]]:
    """Of children who say so: each opens a grave case; ids and words are as bad as can be."""
    return [
        {"event_id": f"e{number}-{each}", "event_time": START_MS + 60_000 * number + each,
         "tipper_id": f"{EVIL}{number}", "streamer_id": "s1", "amount": "12.50", "currency": "CNY",
         "tipper_age": 12, "gift_name": EVIL, "message": EVIL, "device_id": "d1"}
        for number in range(CASES) for each in range(3)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def stack(kafka: KafkaNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    prefix, folder = "browsed", tmp_path_factory.mktemp("browsed")
    make_topics(kafka, prefix)
    for topic in ("verdicts", "accounts"):
        kafka.create_topic(f"{prefix}-{topic}", 1)
    write(kafka, f"{prefix}-tips", tips())
    users = folder / "users.toml"
    entries = [user_entry(name, role, PASSWORD)[0] for name, role in
               (("lin", "reviewer"), ("wu", "reviewer"), ("ada", "reader"))]  # fmt: skip
    users.write_text("\n".join(entries))
    topics = {"TOPICS__VERDICTS": f"{prefix}-verdicts", "TOPICS__ACCOUNTS": f"{prefix}-accounts"}
    access = {"CONSOLE__ACCESS": "users", "CONSOLE__USERS_FILE": str(users)}
    with (
        Detector(folder, kafka.bootstrap, prefix, **topics) as detector,
        Console(folder, kafka.bootstrap, prefix, **access) as console,
    ):
        detector.wait_ready()
        console.wait_ready()
        until(lambda: console.metric("console_open_cases", kind="minor") == CASES)
        flags = [orjson.loads(each.value) for each in kafka.read_all(f"{prefix}-flags", 10)]
        cases = {each["subject"]["id"]: each["case_id"] for each in flags}
        yield Stack(kafka, prefix, detector, console, cases)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"]  # root has none
        browser = playwright.chromium.launch(
            executable_path=program("chromium"), args=arguments
        )  # fmt: skip
        yield browser
        browser.close()


class Seat:
    """One user at one screen; whatever a page complains of is kept.

    Args:
        chromium: the browser.
        stack: whose console.
        user: who sits here; empty: nobody who could say a password.
        size: of the screen.
    """

    def __init__(self, chromium: Browser, stack: Stack, user: str, size: str = "desk",
                 **options: Any) -> None:  # fmt: skip
        width, height = SIZES[size]
        login = {"username": user, "password": PASSWORD} if user else None
        self.context: BrowserContext = chromium.new_context(
            viewport={"width": width, "height": height}, base_url=stack.console.url,
            http_credentials=login, is_mobile=size == "phone", has_touch=size == "phone", **options,
        )  # fmt: skip
        self.context.set_default_timeout(15_000)
        self.complaints: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type == "error" else 0
        )

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.fixture
def lin(chromium: Browser, stack: Stack) -> Iterator[Page]:
    with Seat(chromium, stack, "lin") as page:
        yield page


@pytest.fixture(params=SIZES)
def any_size(request: pytest.FixtureRequest, chromium: Browser, stack: Stack) -> Iterator[Page]:
    """A reviewer's screen; it must neither complain nor be wider than it is."""
    seat = Seat(chromium, stack, "lin", request.param)
    with seat as page:
        yield page
        assert seat.complaints == []
        excess = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        page.wait_for_load_state()  # with its style sheet
        assert page.evaluate(excess) == 0


def rows(page: Page) -> Any:
    return page.locator("tr[data-case]")


def test_the_link_that_a_page_carries_opens_the_case_with_its_evidence(
    any_size: Page, stack: Stack
) -> None:
    any_size.goto(stack.case_of(f"{EVIL}3"))
    expect(any_size.locator("h1")).to_have_text("The tipper's declared age is 12, below 18")
    expect(any_size.locator(".tiles .seen")).to_contain_text("12 years")
    expect(any_size.locator(".lead .origin")).to_contain_text("Rule minor-ban")
    expect(any_size.locator("svg.chart-timeline, svg.chart-close").first).to_be_visible()
    desc = any_size.locator("#timeline-desc")
    expect(desc).to_contain_text("3 tips, 0 recharges, 0 payouts and 0 refund claims")
    expect(any_size.locator("#evidence tbody tr.flagged").first).to_contain_text("12.50 CNY")
    expect(any_size.get_by_text("Times in Asia/Shanghai (UTC+08:00)").locator("visible=true")
           ).to_have_count(1)  # fmt: skip


def test_what_stands_in_names_and_words_stays_text(any_size: Page, stack: Stack) -> None:
    for path in ("/", f"{stack.case_of(EVIL + '3')}?evidence=1",
                 f"{stack.case_of(EVIL + '3')}/export?ids=full"):  # fmt: skip
        any_size.goto(path)
        expect(any_size.locator("bdi, b, td").filter(has_text=EVIL).first).to_be_visible()
        assert any_size.evaluate("typeof stolen") == "undefined"
        assert any_size.locator("main img, main script").count() == 0


def test_a_language_is_kept_from_page_to_page(any_size: Page) -> None:
    any_size.goto("/")
    any_size.get_by_role("link", name="中文").click()
    expect(any_size.locator("html")).to_have_attribute("lang", "zh-CN")
    any_size.locator("a.case").first.click()
    expect(any_size.locator(".lead")).to_contain_text("未成年人打赏")
    expect(any_size.locator("#form")).to_contain_text("确认属实")
    any_size.goto("/")
    expect(any_size.locator(".kinds")).to_contain_text("激情打赏")
    any_size.get_by_role("link", name="English").click()
    expect(any_size.locator(".kinds")).to_contain_text("Binge")


def test_a_verdict_by_one_key_reaches_kafka_the_detector_and_the_other_screen(
    chromium: Browser, stack: Stack, lin: Page
) -> None:
    with Seat(chromium, stack, "wu") as wu:
        wu.clock.install()
        wu.goto("/")
        lin.goto("/")
        lin.keyboard.press("j")
        lin.keyboard.press("j")
        case_id = lin.evaluate("document.activeElement.closest('tr').dataset.case")
        assert case_id == rows(lin).nth(1).get_attribute("data-case")
        expect(wu.locator(f"tr[data-case='{case_id}']")).to_be_visible()
        lin.keyboard.press("Enter")
        expect(lin.locator("#form")).to_be_visible()
        lin.wait_for_load_state()
        lin.keyboard.press("n")
        lin.keyboard.type("his mother called, cfu")
        lin.keyboard.press("Escape")
        before = stack.detector.metric("judged_total", kind="minor", verdict="confirmed")
        lin.keyboard.press("c")
        expect(lin.locator(".outcome")).to_contain_text("Confirmed by lin")
        written = stack.verdicts()[-1]
        assert (written["verdict"], written["reviewer"], written["note"]) == (
            "confirmed", "lin", "his mother called, cfu",
        )  # fmt: skip
        wu.clock.fast_forward(LOOKS_EVERY_MS)
        expect(wu.locator(f"tr[data-case='{case_id}']")).to_have_count(0)
        left = int(stack.console.metric("console_open_cases"))
        expect(wu.locator("#live")).to_have_text(f"The queue has changed: {left} cases")
        assert wu.title().startswith(f"({left})")
        until(lambda: stack.confirmed_after_a_tip() == before + 1)
        lin.wait_for_load_state()
        lin.keyboard.press("c")  # nothing: it is decided, and the buttons are folded away
        lin.keyboard.press("z")
        expect(lin.locator(".outcome")).to_have_count(0)
        expect(lin.locator(".history .undone")).to_contain_text("Confirmed (taken back)")
        wu.clock.fast_forward(LOOKS_EVERY_MS)
        expect(wu.locator(f"tr[data-case='{case_id}']")).to_be_visible()
        assert [each["verdict"] for each in stack.verdicts()[-2:]] == ["confirmed", "unclear"]


def test_who_comes_second_is_told_and_overwrites_nothing(
    chromium: Browser, stack: Stack, lin: Page
) -> None:
    path = stack.case_of(f"{EVIL}5")
    with Seat(chromium, stack, "wu", "phone") as wu:
        wu.goto(path)
        lin.goto(path)
        lin.get_by_role("button", name="False positive").click()
        expect(lin.locator(".outcome")).to_contain_text("False positive by lin")
        wu.get_by_role("button", name="Confirmed").tap()
        expect(wu.get_by_role("alert")).to_contain_text("Your decision was not made")
        expect(wu.locator(".outcome")).to_contain_text("False positive by lin")
        assert stack.verdicts()[-1]["verdict"] == "false_positive"
        wu.get_by_role("link", name="中文").tap()
        expect(wu.locator(".outcome")).to_contain_text("误报：lin")


def test_keys_find_the_filter_the_snooze_and_their_own_list(lin: Page, stack: Stack) -> None:
    lin.goto("/")
    lin.keyboard.press("?")
    expect(lin.get_by_role("dialog")).to_contain_text("false positive")
    lin.keyboard.press("Escape")
    lin.keyboard.press("/")
    lin.keyboard.type(f"{EVIL}7")
    lin.keyboard.press("Enter")
    expect(rows(lin)).to_have_count(1)
    lin.wait_for_load_state()
    lin.keyboard.press("j")
    lin.keyboard.press("Enter")
    expect(lin.locator("#form")).to_be_visible()
    lin.wait_for_load_state()
    lin.keyboard.press("s")
    expect(lin.get_by_role("button", name="1 h", exact=True)).to_be_focused()
    lin.keyboard.press("Enter")
    expect(lin.locator(".over")).to_contain_text("snoozed until")
    expect(lin.locator(".history").first.locator("li")).to_have_count(1)
    lin.wait_for_load_state()
    lin.keyboard.press("q")
    expect(rows(lin).first).to_be_visible()
    expect(rows(lin).filter(has_text=f"{EVIL}7")).to_have_count(0)
    lin.get_by_role("link", name="Snoozed").click()
    expect(rows(lin)).to_have_count(1)


def test_enter_in_a_field_decides_nothing(lin: Page, stack: Stack) -> None:
    lin.goto(stack.case_of(f"{EVIL}8"))
    lin.locator(".hand-over summary").click()
    lin.get_by_label("Hand over to").fill("wu")
    before = len(stack.verdicts())
    lin.keyboard.press("Enter")
    lin.get_by_role("button", name="Hand over").click()
    expect(lin.locator(".over")).to_contain_text("with wu")
    assert len(stack.verdicts()) == before


def test_no_name_or_a_wrong_password_shows_nothing(chromium: Browser, stack: Stack) -> None:
    path = stack.case_of(f"{EVIL}3")
    for user in ("", "mallory"):
        with Seat(chromium, stack, user) as page:
            answer = page.request.get(path)
            assert answer.status == 401
            assert "Please sign in" in answer.text()
            assert "declared age" not in answer.text()


def test_a_reader_sees_all_and_is_offered_no_decision(chromium: Browser, stack: Stack) -> None:
    with Seat(chromium, stack, "ada") as ada:
        ada.goto(stack.case_of(f"{EVIL}3"))
        expect(ada.locator("#decide")).to_contain_text("Only reviewers decide")
        before = ada.url
        ada.keyboard.press("c")
        assert ada.locator("#decide button").count() == 0
        assert ada.url == before


def test_a_form_on_another_site_decides_nothing(lin: Page, stack: Stack) -> None:
    path = stack.case_of(f"{EVIL}3")
    lin.goto(path)  # signed in: the browser would send the password along
    before = len(stack.verdicts())
    field = '<input name="{}" value="{}">'
    stated = {"act": "confirmed", "version": lin.locator("[name=version]").input_value()}
    other = urlsplit(stack.console.url)._replace(path=f"{path}/decide").geturl()
    lin.goto("about:blank")
    lin.set_content(
        f'<form method="post" action="{other}">'
        + "".join(field.format(*each) for each in stated.items())
        + "<button>win a prize</button></form>"
    )
    with lin.expect_navigation() as navigated:
        lin.get_by_role("button").click()
    assert navigated.value.status == 403
    expect(lin.locator("h1")).to_contain_text("not from a page of yours")
    assert len(stack.verdicts()) == before


def test_without_a_script_links_and_buttons_do(chromium: Browser, stack: Stack) -> None:
    with Seat(chromium, stack, "lin", "phone", java_script_enabled=False) as page:
        page.goto(stack.case_of(f"{EVIL}9"))
        page.get_by_role("link", name="Read the account's events").click()
        expect(page.locator("svg.chart").first).to_be_visible()
        page.get_by_role("button", name="Unclear").click()
        expect(page.locator(".history").first).to_contain_text("Unclear")
        page.goto("/?state=unclear")
        expect(rows(page).filter(has_text=f"{EVIL}9")).to_have_count(1)


FAINT = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const found = numbers(getComputedStyle(each).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = new Set();
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const words = walker.currentNode.data.trim();
    if (!words || !element.checkVisibility({ visibilityProperty: true })
        || element.closest("script, noscript, title, desc, button:disabled")) continue;
    const style = getComputedStyle(element);
    const ink = light(numbers(element.closest("svg") ? style.fill : style.color));
    const paper = light(behind(element));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    seen += 1;
    if (contrast < 4.5) faint.add(`${contrast.toFixed(2)} ${words.slice(0, 40)}`);
  }
  return [seen, [...faint]];
}"""
"""How many texts a page shows, and those with a contrast below 4.5, what WCAG asks of level AA."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_by_day_and_by_night(
    chromium: Browser, stack: Stack, scheme: str
) -> None:
    case = stack.case_of(f"{EVIL}3")
    with Seat(chromium, stack, "lin", color_scheme=scheme) as page:
        for path in ("/?severity=high", f"{case}?evidence=1", f"{case}/export", "/cases/none"):
            page.goto(path)
            seen, faint = page.evaluate(FAINT)
            assert seen > 5
            assert faint == [], path


def test_a_case_file_fills_sheets_of_paper_and_can_be_kept(
    lin: Page, stack: Stack, tmp_path: Path
) -> None:
    lin.goto(f"{stack.case_of(EVIL + '3')}/export?channel=12377")
    expect(lin.locator(".sheet")).to_contain_text("Ids are pseudonyms")
    assert EVIL not in lin.content()
    with lin.expect_download() as download:
        lin.get_by_role("link", name="Download JSON").click()
    file = orjson.loads(Path(download.value.path()).read_bytes())
    assert (file["channel"], len(file["orders"])) == ("12377", 3)
    assert lin.pdf(path=tmp_path / "case.pdf", format="A4").startswith(b"%PDF")
    lin.emulate_media(media="print")
    expect(lin.locator(".controls")).to_be_hidden()
    expect(lin.locator(".sheet")).to_be_visible()
