"""Drives the dashboard of the real server in headless Chromium.

    python browser.py --server target/debug/sidecar-server [--shots FOLDER]

Logs in, adds a provider, sends requests through it, sees the numbers move without a reload, edits,
lets it rest, removes it, and logs out; looks at every page wide and narrow, light and dark, in both
languages. Any error in the console, any violation of the policy, any request to another origin and
any text that became markup fails it. Needs /usr/bin/chromium.
"""

import argparse
import http.server
import json
import threading
import urllib.request

from playwright.sync_api import expect, sync_playwright

from provider import Provider
from sidecar import Sidecar

# What must be shown as it is, wherever it was entered.
NEEDLE = '<img src=x onerror="window.pwned=1"><script>pwned=1</script>'
PAGES = ("", "providers", "usage", "cooldowns", "callers", "explain", "settings", "system")
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class Bench:
    def __init__(self, server, shots):
        self.server = server
        self.shots = shots
        self.problems = []
        self.allowed = 0

    def watch(self, page):
        """Notes everything that must not happen on `page`."""
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) =>"
            " console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI))"
        )
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._hear)
        page.on("request", self._see)

    def _hear(self, message):
        # A browser says of every answer that is an error that it is one; those are meant.
        if message.type == "error" and "the server responded with a status" not in message.text:
            self.problems.append(f"console: {message.text}")

    def _see(self, request):
        if not request.url.startswith((self.server.url, "data:")):
            self.problems.append(f"another origin: {request.url}")

    def log_in(self, page, token=None):
        page.goto(self.server.url + "/dashboard")
        page.fill("#login input[name=token]", token or self.server.token)
        page.press("#login input[name=token]", "Enter")

    def go(self, page, name):
        page.evaluate("(hash) => { location.hash = hash }", f"#/{name}")

    def ask(self, model, count=1, agent="browser"):
        for _ in range(count):
            body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
            request = urllib.request.Request(
                self.server.url + "/v1/chat/completions",
                data=json.dumps(body).encode(),
                headers={"content-type": "application/json", "x-agent-id": agent},
            )
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                opener.open(request, timeout=20).read()
            except urllib.error.HTTPError:
                pass

    def providers(self):
        return [one["name"] for one in self.server.admin("GET", "/backends")["backends"]]


def check(name, holds, says=""):
    if not holds:
        raise AssertionError(f"{name}: {says}")
    print(f"ok   {name}", flush=True)


def eventually(page, holds):
    """Whether it holds within ten seconds."""
    for _ in range(200):
        if holds():
            return True
        page.wait_for_timeout(50)
    return False


def use(bench, browser, provider):
    """The way of a new operator through all of it."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-US")
    page = context.new_page()
    bench.watch(page)
    bench.log_in(page, "a-wrong-token-of-some-length")
    expect(page.locator("#login .wrong")).to_be_visible()
    check("a wrong token is told so", True)
    bench.log_in(page)
    expect(page.locator("#login")).to_be_hidden()
    cookie = page.context.cookies()[0]
    strict = (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    check("the token gives a session in a cookie that no script reads", strict, cookie)

    page.click("a[href='#/providers/new']")
    page.get_by_label("Name", exact=True).fill("vendor")
    page.get_by_label("Label").fill(NEEDLE)
    page.get_by_label("Base URL").fill(provider.origin + "/v1")
    page.get_by_label("API key").fill("sk-vendor-0123456789abcdef")
    page.get_by_role("button", name="Add model").click()
    page.get_by_label("Name for callers").first.fill("llama")
    page.click("button[type=submit]")
    check("a provider is added", eventually(page, lambda: bench.providers() == ["vendor"]))

    bench.go(page, "")
    tiles = page.locator(".tiles")
    expect(tiles).to_be_visible()
    bench.ask("llama", 7)
    # Eleven tokens each.
    expect(tiles).to_contain_text("77", timeout=10_000)
    check("the numbers move without a reload", True)

    [identity] = [one["id"] for one in bench.server.admin("GET", "/backends")["backends"]]
    bench.go(page, f"providers/{identity}")
    key = page.locator("input[name=provider-key]")
    expect(key).to_have_value("")
    page.get_by_label("Label").fill(NEEDLE + "!")
    page.click("button[type=submit]")
    shown = lambda: bench.server.admin("GET", f"/backends/{identity}")["label"] == NEEDLE + "!"
    check("a provider is edited, and its key is not shown", eventually(page, shown))

    provider.behaviour, provider.headers = 429, {"retry-after": "90"}
    bench.ask("llama")
    bench.go(page, "cooldowns")
    expect(page.locator("main")).to_contain_text("vendor", timeout=10_000)
    bench.go(page, "providers")
    expect(page.locator("main")).to_contain_text("Cooling", timeout=10_000)
    check("a rest is seen when it begins", True)
    provider.reset()

    # What every field of text can hold, from elsewhere.
    models = {NEEDLE: {"native_id": NEEDLE}, "llama": {"native_id": "meta/llama"}}
    bench.server.admin("PUT", f"/backends/{identity}", {"model_mappings": models})
    hostile = {
        "name": NEEDLE,
        "label": NEEDLE,
        "account": NEEDLE,
        "metadata": {NEEDLE: NEEDLE},
        "api_base_url": provider.origin + "/v1",
        "api_key": "sk-hostile-0123456789abcdef",
        "model_mappings": models,
        "pool": "fallback",
    }
    other = bench.server.admin("POST", "/backends", hostile)["id"]
    bench.server.admin("POST", "/callers", {"name": NEEDLE, "label": NEEDLE, "models": [NEEDLE]})
    # A provider that speaks in markup, and a caller whose name is some.
    provider.behaviour, provider.headers = 429, {"retry-after": NEEDLE}
    bench.ask(NEEDLE, agent=NEEDLE + "2")
    provider.reset()
    for size in ({"width": 1280, "height": 860}, {"width": 360, "height": 740}):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for name in (*PAGES, f"providers/{identity}", f"providers/{other}"):
                look(bench, page, name, f"{size['width']}-{scheme}")
    check("every page holds its width, and shows text as text", True)
    page.set_viewport_size({"width": 1280, "height": 860})
    page.locator(".side select").select_option("zh")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    for name in PAGES:
        look(bench, page, name, "zh")
    page.locator(".side select").select_option("en")
    check("so it does in Chinese", True)

    forge(bench, page)
    check("a form of another origin changes nothing", len(bench.providers()) == 2)
    bench.server.admin("DELETE", f"/backends/{other}")

    page.goto(bench.server.url + "/dashboard")
    bench.go(page, f"providers/{identity}")
    page.get_by_role("button", name="Remove", exact=True).click()
    page.locator("dialog .button.danger").click()
    check(
        "a provider is removed, after a question",
        eventually(page, lambda: bench.providers() == []),
    )

    page.get_by_label("Sign out").click()
    expect(page.locator("#login input[name=token]")).to_be_visible()
    check("logging out ends the session", eventually(page, lambda: page.context.cookies() == []))
    page.close()


def look(bench, page, name, how):
    bench.go(page, name)
    expect(page.locator("h1").first).to_be_visible()
    page.wait_for_timeout(150)
    width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    if width > room:
        raise AssertionError(f"#/{name} ({how}) is {width} wide and has {room}")
    if page.evaluate("window.pwned || document.querySelectorAll('main img, main script').length"):
        raise AssertionError(f"#/{name} ({how}) took text for markup")
    if bench.shots:
        page.screenshot(path=f"{bench.shots}/{name.split('/')[0] or 'overview'}-{how}.png")


def forge(bench, page):
    """A page of another port, which is the same site and another origin, posts what adds one."""

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            fields = {"name": "forged", "api_base_url": "http://127.0.0.1:9/v1", "api_key": "x" * 20}
            text = json.dumps(fields)[:-1] + ', "metadata": {"x": "'
            form = (
                f"<form method=post enctype=text/plain action='{bench.server.url}/api/admin/backends'>"
                f"<input name='{text}' value='\"}}}}'></form><script>document.forms[0].submit()</script>"
            )
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(form.encode())

        def log_message(self, *_):
            pass

    evil = http.server.HTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    other = page.context.new_page()
    answers = []
    other.on("response", lambda answer: answers.append((answer.request.method, answer.status)))
    other.goto(f"http://127.0.0.1:{evil.server_port}/")
    other.wait_for_url(bench.server.url + "/**")
    check("and is refused", ("POST", 403) in answers, answers)
    other.close()
    evil.shutdown()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--server", required=True)
    arguments.add_argument("--shots", help="a folder for pictures of every page")
    arguments = arguments.parse_args()
    provider = Provider()
    server = Sidecar(arguments.server)
    bench = Bench(server, arguments.shots)
    try:
        with sync_playwright() as playwright:
            launch = playwright.chromium.launch
            browser = launch(executable_path=CHROMIUM, args=ARGUMENTS)
            use(bench, browser, provider)
            browser.close()
        check("no error, no violation, no other origin", not bench.problems, bench.problems)
    finally:
        server.stop()
    print("all passed")


if __name__ == "__main__":
    main()
