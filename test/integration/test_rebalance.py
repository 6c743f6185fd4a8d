"""One process, then two, then one again, while events flow."""
import app as apps
import events
import stream as streams

SESSION_SECONDS = 3


def test_second_process_comes_and_goes(new_app):
    """It joins in the middle of the stream and ends by SIGTERM, joins again and ends by SIGKILL."""
    app = new_app(kafka={"session_timeout": f"{SESSION_SECONDS}s"})
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(4), share=0.3)
    app.create_inputs()
    first, second = app.start("a"), app.process("b")
    stream = streams.Stream(app, history)

    def shared():
        return apps.share_partitions(first, second)

    for leave in (second.stop, second.kill):
        second.start(wait_ready=False)
        stream.until("some partitions for each", shared)
        stream.until("events in the second", lambda: second.metrics().total("heartbeatd_events_total", outcome="applied") > streams.PART)
        assert stream.during(leave) in (0, None)
        stream.until("all partitions back at the first", lambda: apps.partitions_of(first) == apps.PARTITIONS)
    stream.rest()
    app.end(history.until)
    assert first.exit_code() is None
    app.check(history, least=1000, stop=True)
