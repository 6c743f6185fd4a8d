"""./dev bench --growth: what an event costs with few customers and with many, when all come equally often.

For each size every customer is made known by one event first, and the program consumes them all; then comes the measured stretch,
in which each has EACH more on average, at random. It is as long in event time for all sizes, and so is what a customer lives
through in it: what differs is how many there are, and the memory budget: --memory-each bytes of it for each customer, the default
budget at least. As much as the default of --memory-each keeps everybody in memory; 0 is the default budget for all sizes.

Then time moves on by DAYS_AFTER, and everybody who has not come in the measured stretch is missed (growth.yaml): that tells what a
timer costs that fires and alerts.

A size with few events is over in a second: it is measured several times, each with a new program, and the time in which an event
took the median of CPU is the one that counts.

The data goes to growth.json and a chart of it to growth.svg.
"""
import datetime
import json
import pathlib
import shutil

import chart
import programs
import stretch

DEFAULTS = {"partitions": 4}
SIZES = (100_000, 1_000_000, 10_000_000)
EACH = 3
DAYS = 90  # of event time, in the measured stretch
SILENT_DAYS = 130  # after which the rule in growth.yaml misses somebody: more than the 120 from the first event to the end
DAYS_AFTER = SILENT_DAYS - DAYS
RULE = pathlib.Path(__file__).with_name("growth.yaml")
MEMORY_EACH = 1200  # bytes of the budget for each customer
BUDGET_MIB = 512  # the default
EVENTS_MIN = 1_500_000  # a size with fewer is measured as often as gives so many,
TIMES_MAX = 5  # but not more often than this
COST_MAX = 2.0  # the CPU of an event with the most customers, of that with the fewest


def budget_mib(options, customers):
    return max(BUDGET_MIB, -(-options.memory_each * customers // 2**20))


def measure(tool, server, options, customers):
    """The row of one size."""
    times = min(TIMES_MAX, -(-EVENTS_MIN // (customers * options.each)))
    rows = sorted((measure_once(tool, server, options, customers) for _ in range(times)), key=lambda row: row["cpu_us_per_event"])
    return {**rows[(times - 1) // 2], "cpu_us_per_event_each_time": [row["cpu_us_per_event"] for row in rows]}


def measure_once(tool, server, options, customers):
    budget = budget_mib(options, customers)
    topic = f"{programs.TOPIC}-{customers}"
    tool.create_topics(topic, partitions=options.partitions)
    program = programs.Heartbeatd(programs.new_folder(f"growth-{customers}"), server, options, programs.RULE_SETS["two"], topic,
                                  more=[RULE], over=f"memory: {budget}MiB\n")
    found = stretch.live(tool, server, options, topic, program, customers, customers * options.each, DAYS, DAYS_AFTER)
    shutil.rmtree(program.state, ignore_errors=True)
    tool.delete_topics(topic, program.changelog)
    return {"customers": customers, "memory_mib": budget, "events": found.steady.events, "events_per_second": round(found.steady.rate),
            "cpu_us_per_event": round(found.steady.cpu_us, 2), "broker_cpu_us_per_event": round(found.steady.broker_us, 2),
            "timers_per_event": round(found.timers, 3), "timers_fired": found.fired,
            "cpu_us_per_timer": None if found.timer_us is None else round(found.timer_us, 2), "peak_rss_mib": round(found.peak_rss / 2**20),
            "store_bytes_per_customer": round(found.stored),
            "write_amplification": None if found.amplification is None else round(found.amplification, 2),
            "first_events_per_second": round(found.known.rate), "first_cpu_us_per_event": round(found.known.cpu_us, 2)}


def print_row(row):
    if len(row["cpu_us_per_event_each_time"]) > 1:
        print(f"    CPU each time: {', '.join(map(str, row['cpu_us_per_event_each_time']))} us/event", flush=True)
    print(f"  {row['customers']:,} customers, {row['memory_mib']:,} MiB: {row['events_per_second']:,} events/s, CPU "
          f"{row['cpu_us_per_event']:.2f} us/event (broker {row['broker_cpu_us_per_event']:.2f}), {row['timers_per_event']:.3f} timers/event; then {row['timers_fired']:,} timers at "
          f"{row['cpu_us_per_timer'] or 0:.2f} us; peak memory "
          f"{row['peak_rss_mib']} MiB, local store {row['store_bytes_per_customer']} bytes/customer, write amplification "
          f"{row['write_amplification'] or '-'}; while they became known {row['first_events_per_second']:,} events/s, "
          f"{row['first_cpu_us_per_event']:.2f} us (start included)",
          flush=True)


def draw(rows, path):
    def points(key):
        return [(row["customers"], row[key]) for row in rows]

    smallest = rows[0]["cpu_us_per_event"]
    chart.write(path, "customers", [
        chart.Panel("events/s", points("events_per_second")),
        chart.Panel("CPU us/event", points("cpu_us_per_event"), (COST_MAX * smallest, f"{COST_MAX:.0f} times the smallest size's")),
        chart.Panel("CPU us/timer, with its alert", [point for point in points("cpu_us_per_timer") if point[1] is not None]),
        chart.Panel("peak memory, MiB", points("peak_rss_mib")),
        chart.Panel("local store, bytes/customer", points("store_bytes_per_customer"))])


def save(options, rows):
    """Both files. Returns their folder."""
    folder = pathlib.Path(options.into)
    folder.mkdir(parents=True, exist_ok=True)
    run = {"date": datetime.date.today().isoformat(), "rules": ["two.yaml", RULE.name], "partitions": options.partitions, "workers": options.workers,
           "events_each": options.each, "days": DAYS, "sizes": rows}
    (folder / "growth.json").write_text(json.dumps(run, indent=2) + "\n")
    draw(rows, folder / "growth.svg")
    return folder


def run(tool, server, options):
    """Returns whether the aim is met."""
    print(f"growth: {options.each} events of each customer in the measured stretch, {options.partitions} partitions, "
          f"{options.workers} threads", flush=True)
    stretch.warm(tool)
    rows = []
    for customers in sorted(options.sizes):
        rows.append(measure(tool, server, options, customers))
        print_row(rows[-1])
    folder = save(options, rows)
    print(f"  data and chart: {folder / 'growth.json'}, {folder / 'growth.svg'}")
    growth = rows[-1]["cpu_us_per_event"] / rows[0]["cpu_us_per_event"]
    met = growth <= COST_MAX
    print(f"growth: an event costs {growth:.2f} times as much CPU with {rows[-1]['customers']:,} customers as with "
          f"{rows[0]['customers']:,}; the aim is at most {COST_MAX:.0f}: {'met' if met else 'NOT met'}")
    return met
