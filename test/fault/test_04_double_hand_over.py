"""Handed over twice while a zombie's transaction is open: it hides what its first heir has committed behind it, and the
second heir must wait for that, not begin before it."""
import pytest

import app as apps
import duel as duels
import events

HIDDEN_MIN = 5  # transactions of the first heir behind the zombie's


def hidden(app):
    """How many offsets of the changelog lie behind an open transaction."""
    return sum(row["end"] - row["stable"] for row in app.kit.offsets(app.changelog))


@pytest.mark.row(4, "double hand-over, LSO pinned")
def test_heir_killed_while_the_zombies_transaction_is_open(new_app, row):
    app = new_app(kafka={"session_timeout": f"{duels.SESSION_SECONDS}s"})
    history = events.part_of_demo(app.folder / "history.jsonl", events.seeded(4), share=0.02)
    duel = duels.Duel(app, history, "commit.begin", "commit.flushed")
    duel.hand_over()
    # Its session is over, but nothing keeps it from writing: the heir is at work when its records come.
    duel.zombie.thaw()
    duel.wait_stopped()
    written = duel.committed(duel.heir)
    duel.stream.until("commits of the heir behind the zombie's records", lambda: duel.committed(duel.heir) >= written + HIDDEN_MIN)
    behind = hidden(app)
    duel.heir.kill()
    second = app.start("second-heir")
    duel.hand_over(second)
    duel.zombie.thaw()
    duel.stream.rest()
    app.end(history.until)
    assert (duel.zombie.exit_code(), second.exit_code()) == (None, None)
    committed, refused = duels.zombie_commits(app)
    row.figure(f"{behind} offsets behind the open transaction, none under-read")
    row.judge(app, history, least=1000)
    assert behind >= 2 * HIDDEN_MIN and committed == 0 and refused > 0
