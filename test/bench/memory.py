"""./dev bench --memory: many partitions and many customers in the memory budget of 512 MiB.

Everybody is made known by one event; then as many events come, of customers at random, all equally often.
"""
import shutil

import programs
import stretch

DEFAULTS = {"customers": 5_000_000, "partitions": 100}
DAYS = 30  # of event time, for the events after everybody's first
BUDGET_MIB = 512
OVER_MAX = 1.2  # the peak of the resident set, of the budget


def run(tool, server, options):
    """Returns whether the aim is met."""
    events = options.events or options.customers  # after everybody's first
    tool.create_topics(programs.TOPIC, programs.ALERTS, partitions=options.partitions)
    program = programs.Heartbeatd(programs.new_folder("memory"), server, options, programs.RULE_SETS["two"],
                                  over=f"memory: {BUDGET_MIB}MiB\n")
    print(f"memory: {options.customers:,} customers, {options.partitions} partitions, {options.workers} threads, {BUDGET_MIB} MiB",
          flush=True)
    stretch.warm(tool)
    found = stretch.live(tool, server, options, programs.TOPIC, program, options.customers, events, DAYS)
    shutil.rmtree(program.state, ignore_errors=True)
    for what, part in (("while they became known", found.known), ("when all were known", found.steady)):
        print(f"  {what:<24} {part.rate:,.0f} events/s, CPU {part.cpu_us:.2f} us/event (broker {part.broker_us:.2f})")
    peak = found.peak_rss / 2**20
    factor = "-" if found.amplification is None else f"{found.amplification:.2f}"
    print(f"  {'local store':<24} {found.stored:.0f} bytes/customer, write amplification {factor}")
    met = peak <= BUDGET_MIB * OVER_MAX
    print(f"memory: the peak of the resident set is {peak:.0f} MiB, {peak / BUDGET_MIB:.2f} of the budget; the aim is at most "
          f"{OVER_MAX} ({BUDGET_MIB * OVER_MAX:.0f} MiB): {'met' if met else 'NOT met'}")
    return met
