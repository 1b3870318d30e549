"""What a browser makes of pages that `pytrace-ebpf report` wrote: a line of JSON for each. Not traced.

Chromium is driven by chromedriver, without a network; what is read is what a person would see, from a window high enough for
whole tables."""
import json
import os
import pathlib
import shutil
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import Select, WebDriverWait


def browser(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    # Root has no sandbox.
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1600,4000", f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.set_capability("unhandledPromptBehavior", "ignore")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    return driver


class Page:
    def __init__(self, driver, path):
        self.driver = driver
        self.script = driver.execute_script
        driver.get(pathlib.Path(path).resolve().as_uri())
        self.until(lambda: self.script("return document.documentElement.dataset.ready"))

    def until(self, holds):
        WebDriverWait(self.driver, 300, poll_frequency=0.02).until(lambda _: holds())

    def at(self, name):
        return self.driver.find_element("id", name)

    def open(self, view):
        self.at("tab-" + view).click()

    def stats(self):
        return self.script(
            "return Object.fromEntries([...document.querySelectorAll('[data-stat]')].map((e) => [e.dataset.stat, Number(e.dataset.value)]))"
        )

    def groups(self):
        return self.script(
            "return Object.fromEntries([...document.querySelectorAll('[data-group]')].map((e) => [e.dataset.group, e.lastChild.textContent]))"
        )

    def rows(self, view):
        """The cells of a table: numbers where they are numbers."""
        return self.script(
            "return [...document.querySelectorAll(`#${arguments[0]} .space .row`)].map((row) => [...row.children]"
            ".map((cell) => cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value)))",
            view,
        )

    def shown(self):
        return int(self.at("count").get_attribute("data-value"))

    def search(self, text):
        before = self.shown()
        self.at("search").send_keys(text)
        self.until(lambda: self.shown() != before)
        found = self.shown()
        self.at("reset").click()
        return found

    def errors(self):
        self.at("errors").click()
        found = self.shown()
        self.at("errors").click()
        return found

    def brushed(self):
        """Calls in the left half of the time, and in the right one."""
        canvas = self.at("timeline")
        half = canvas.size["width"] // 2 - 1
        shown = []
        for side in (-1, 1):
            actions = ActionChains(self.driver)
            actions.move_to_element_with_offset(canvas, side * half, 0).click_and_hold()
            actions.move_by_offset(-side * half, 0).release().perform()
            shown.append(self.shown())
        return shown

    def drawn(self, canvas):
        """Whether anything is on a canvas."""
        return self.script(
            "const c = document.querySelector(arguments[0]);"
            "return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((part) => part > 0)",
            canvas,
        )


def seen(driver, path):
    page = Page(driver, path)
    found = {"stats": page.stats(), "groups": page.groups(), "errors": page.errors(), "search": page.search("unlink -file0")}
    page.open("sites")
    found["sites"] = page.rows("sites")
    Select(page.driver.find_element("css selector", "#sites select")).select_by_value("function")
    found["functions"] = page.rows("sites")
    page.open("touched")
    found["touched"] = page.rows("touched")
    page.open("calls")
    found["calls"] = page.rows("calls")
    # Rows are made anew at any frame: found and clicked at once.
    page.script("document.querySelector('#calls .space .row .call').click()")
    found["detail"] = driver.find_element("css selector", "#detail pre").text
    page.open("flame")
    # It is painted at the next frame.
    page.until(lambda: page.drawn("#flame canvas"))
    found["flame"] = page.script("return document.querySelector('#flame .flame-info').textContent")
    page.open("loss")
    found["loss"] = page.at("loss").text
    found["drawn"] = page.drawn("#timeline")
    found["brushed"] = page.brushed()
    found["title"] = driver.title
    found["elements"] = page.script("return ['img', 'script', 'style', 'iframe', 'link'].map((n) => document.querySelectorAll(n).length)")
    found["text"] = page.script("return document.body.innerText")
    found["said"] = [entry["message"] for entry in driver.get_log("browser")]
    found["asked"] = requests(driver)
    return found


def requests(driver):
    """What the page asked for, itself first; not what the browser's own first page did."""
    messages = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    return [one["request"]["url"] for one in sent if one["documentURL"].startswith("file:")]


with tempfile.TemporaryDirectory(prefix="pytrace-browser-") as profile:
    # Caches are left in the home.
    os.environ["HOME"] = profile
    driver = browser(profile)
    try:
        for path in sys.argv[1:]:
            print(json.dumps(seen(driver, path)), flush=True)
    finally:
        driver.quit()
