"""How long a restart with 200,000 customers takes. The limits that count are measured on a quiet machine; a busy one gets
three times as long here."""
import shutil
import time

import app as apps
import events

CUSTOMERS = 200_000
EVENTS_EACH = 2
LOCAL_SECONDS_MAX = 3
REBUILD_SECONDS_MAX = 10
PATIENCE = 3
START = events.unix("2024-03-01T00:00:00Z")


def write_events(path):
    """Every customer comes in each round, so that there are exactly as many as said."""
    count = CUSTOMERS * EVENTS_EACH
    hour = [events.rfc3339(START + 3600 * number)[:-5] for number in range(24 * 14)]  # formatting takes longer than all else
    with open(path, "w") as file:
        for number in range(count):
            kind = "login" if number % 3 else "purchase"
            file.write(f'{{"event_id":"e{number}","type":"{kind}","customer_id":"customer-{number % CUSTOMERS}",'
                       f'"timestamp":"{hour[number * len(hour) // count]}Z","amount":12.5,"currency":"EUR"}}\n')
    return events.History(path, count, events.rfc3339(START + 20 * 86400))


def restart(daemon, what, limit):
    began = time.monotonic()
    daemon.start()
    seconds = time.monotonic() - began
    records = daemon.metrics().total("heartbeatd_restored_records_total")
    print(f"ready {seconds:.2f} s after the start with {what}, {records:,.0f} changelog records read "
          f"(limit: {limit} s on a quiet machine)")
    assert seconds < limit * PATIENCE
    wait_for_all_customers(daemon)


def wait_for_all_customers(daemon):
    apps.wait_for("all customers", lambda: daemon.metrics().total("heartbeatd_customers") == CUSTOMERS, 10)


def test_restart(new_app, capsys):
    app = new_app(instance="shop-1")
    history = write_events(app.folder / "history.jsonl")
    app.create_inputs()
    daemon = app.start()
    app.feed(history)
    app.wait_consumed()
    wait_for_all_customers(daemon)
    assert daemon.stop() == 0
    with capsys.disabled():
        print()
        restart(daemon, "its local state", LOCAL_SECONDS_MAX)
        daemon.kill()
        restart(daemon, "its local state after a SIGKILL", LOCAL_SECONDS_MAX)
        daemon.kill()
        shutil.rmtree(app.state_directory())
        restart(daemon, "no local state", REBUILD_SECONDS_MAX)
