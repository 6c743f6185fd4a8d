"""Messages made to break the daemon, amid good ones and kills: one dead letter each, and the good ones do not notice."""
import time

import pytest

import app as apps
import events
import stream as streams
from bad_messages import BAD, ODD, bad_messages, check_dead_letters

KILLS = 4
DEAD_LETTER_BYTES_MAX = 10_000
SHARE = 0.05


@pytest.mark.row(12, "poison")
def test_every_kind(new_app, row):
    """Every kind of them as often as the process is killed, in every partition; each kill falls among them."""
    app = new_app(currency="USD")
    random = events.seeded(12)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=SHARE)
    app.create_inputs()
    daemon = app.start()
    stream = streams.Stream(app, history)
    names = []
    for kill in range(KILLS):
        feed = stream.open(history.count // (KILLS + 1), seconds=1.5)
        order = random.sample(list(BAD), len(BAD))
        app.send(bad_messages(order, len(names)))
        names += order
        time.sleep(random.uniform(0, 0.3))
        daemon.kill()
        daemon.start(wait_ready=False)
        streams.finish(feed)
    daemon.wait_ready()
    stream.rest()
    app.send({"partition": number % apps.PARTITIONS, "key": None, "value": value} for number, value in enumerate(ODD))
    app.end(history.until)
    check_dead_letters(app, names, with_payload=False)
    row.figure(f"{len(names)} dead letters, one each")
    with open(history.path, "a") as file:
        file.writelines(line + "\n" for line in ODD)
    row.judge(app, history, least=1000)


@pytest.mark.row(12, "poison")
def test_refused_by_the_broker(new_app, row):
    """A message that leads to a record too large for the broker is found among all the others."""
    app = new_app(output={"dead_letter": {"payload": True}})
    random = events.seeded(120)
    history = events.part_of_demo(app.folder / "history.jsonl", random, share=SHARE)
    app.create_inputs()
    daemon = app.start()
    # Behind the daemon's back, which has checked the limit at its start.
    app.kit.delete_topics(app.dead_letters)
    app.kit.create_topics(app.dead_letters, partitions=1, config=[f"max.message.bytes={DEAD_LETTER_BYTES_MAX}"])
    stream = streams.Stream(app, history)
    stream.during(lambda: app.send({"key": "k", "partition": 1, "value": value} for value in
                                   ("before", random.randbytes(2 * DEAD_LETTER_BYTES_MAX).hex(), "behind")))
    stream.rest()
    app.end(history.until)
    found = sorted((message["headers"]["reason"], message["value"]) for message in app.kit.dump(app.dead_letters))
    assert found == [("not_json", "before"), ("not_json", "behind"), ("poison", "")]
    aborted = daemon.metrics().total("heartbeatd_commits_total", result="aborted")
    row.figure(f"one too large for the broker found after {aborted:.0f} aborted transactions")
    row.judge(app, history, least=1000)
