"""A process stands still until its session is over, in the middle of a transaction, and wakes up when another has taken
over: what it had begun must not be committed any more."""
import pytest

import duel as duels
import events


def new_duel(new_app, *stops):
    app = new_app(kafka={"session_timeout": f"{duels.SESSION_SECONDS}s"})
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(3), share=0.02)
    return app, history, duels.Duel(app, history, *stops)


def finish(app, history, duel):
    duel.stream.rest()
    app.end(history.until)
    assert (duel.zombie.exit_code(), duel.heir.exit_code()) == (None, None)


@pytest.mark.row(3, "zombie")
@pytest.mark.parametrize("point", ["commit.begin", "commit.flushed", "commit.offsets-sent"],
                         ids=["nothing-yet", "records-only", "offsets-pending"])
def test_awake_after_the_hand_over(new_app, row, request, point):
    """With nothing in the transaction yet it is the group's generation that refuses it, else the end of the transaction,
    for which the heir has to wait."""
    app, history, duel = new_duel(new_app, point)
    duel.hand_over()
    duel.zombie.thaw()
    finish(app, history, duel)
    refused = duel.refused()
    committed, _ = duels.zombie_commits(app)
    row.figure(f"{request.node.callspec.id}: {committed} zombie commits")
    row.judge(app, history, least=1000)
    assert committed == 0 and refused > 0


@pytest.mark.row(3, "zombie")
def test_awake_during_the_hand_over(new_app, row):
    """Its offsets are pending, so the heir has to wait for how it ends: here a commit does no harm, and must do none."""
    app, history, duel = new_duel(new_app, "commit.offsets-sent")
    duel.stream.until("the heir reads its partitions", lambda: "assigned 4 partitions" in app.log("heir") or not duel.heir.ready())
    duel.zombie.thaw()
    finish(app, history, duel)
    row.judge(app, history, least=1000)
