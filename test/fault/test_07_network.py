"""A network that is slow, breaks connections, loses the answer to a commit and delivers a commit long after it was given up."""
import time

import pytest

import app as apps
import broker as brokers
import events
import processes
import proxy as proxies
import stream as streams
import wire

INSTANCE = "shop-1"
SHARE = 0.1
DELAY_SECONDS = 0.05
RESETS = 6
GIVEN_UP_SECONDS_MAX = 45  # a commit without an answer is given up after 15 s


@pytest.fixture(scope="session")
def proxied(tmp_path_factory):
    """(broker, proxy): the kit talks to the broker itself."""
    broker = brokers.Broker(tmp_path_factory.mktemp("broker"))
    port = processes.free_port()
    with proxies.Proxy(port, proxies.behind(broker, port)) as proxy, broker:
        yield broker, proxy


@pytest.fixture(scope="session")
def broker(proxied):
    return proxied[0]


@pytest.mark.row(7, "network")
def test_bad_network(new_app, row, proxied):
    proxy = proxied[1]
    app = new_app(instance=INSTANCE, kafka={"brokers": proxy.address})
    random = events.seeded(7)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=SHARE)
    app.create_inputs()
    daemon = app.start()
    stream = streams.Stream(app, history)

    def commits(result):
        return daemon.metrics().total("heartbeatd_commits_total", result=result)

    def resumes():
        before = commits("committed")
        stream.until("further commits", lambda: commits("committed") > before + 3)

    resumes()
    proxy.delay_seconds = DELAY_SECONDS
    resumes()
    proxy.delay_seconds = 0.0
    for _ in range(RESETS):
        stream.during(proxy.reset, seconds=random.uniform(0.5, 1.5))
    resumes()

    # Both workers' commits at once: of one nobody hears how it was decided, the other is undecided until it is too old.
    proxy.drop_replies(wire.END_TXN, f"{app.name}-{INSTANCE}-0")
    proxy.hold_request(wire.END_TXN, f"{app.name}-{INSTANCE}-1")
    stream.until("both to be struck", lambda: proxy.counts["dropped"] and proxy.counts["held"])
    began = time.monotonic()
    struck = commits("committed")

    def decided():
        """Of the one that is held: by now it is too old, or the broker was late to see that, and the client's repetition of it
        has come before."""
        return commits("fenced") or commits("committed") > struck

    stream.until("both to be given up", lambda: commits("ambiguous") and decided(), GIVEN_UP_SECONDS_MAX)
    given_up = time.monotonic() - began
    proxy.release()  # of a producer that is no more
    apps.wait_for("the old commit", lambda: proxy.counts["released"], 5)
    resumes()
    stream.rest()
    app.end(history.until)
    assert daemon.exit_code() is None
    row.figure(f"{proxy.counts['reset']} connections reset; {proxy.counts['dropped']} answers to a commit lost, one commit held: "
               f"producers made anew after {given_up:.0f} s")
    row.judge(app, history, least=1000)
