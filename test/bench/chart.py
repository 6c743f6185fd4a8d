"""Small line charts as SVG: panels side by side in two columns, over one logarithmic axis."""
import dataclasses
import math
import xml.sax.saxutils

WIDTH, HEIGHT = 380, 240  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 46  # of what is drawn in it
STEPS = 4
STYLE = "text{font:12px sans-serif;fill:#333}.title{font-weight:bold;font-size:13px}.grid{stroke:#ddd}.line{stroke:#1f6fb4;" \
        "stroke-width:2;fill:none}.dot{fill:#1f6fb4}.limit{stroke:#c0392b;stroke-dasharray:5 4}.limit-text{fill:#c0392b}"


@dataclasses.dataclass
class Panel:
    """Points are (x, y), ascending; `limit`: a height and what it is called."""

    title: str
    points: list
    limit: tuple = None


def text(x, y, content, anchor="middle", kind=None):
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{name}>{xml.sax.saxutils.escape(content)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def short(number):
    """10 000 000 is 10 M."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def ceiling(value):
    """A round number that is no smaller, and easy to divide by STEPS."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(power * factor for factor in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if power * factor >= value * 0.999999)


def panel(left, top, name_of_x, drawn):
    """The elements of one panel whose upper left corner is there."""
    begin, end = left + LEFT, left + WIDTH - RIGHT
    floor, roof = top + HEIGHT - BOTTOM, top + TOP
    low, high = math.log10(drawn.points[0][0]), math.log10(drawn.points[-1][0])
    highest = ceiling(max([y for _, y in drawn.points] + ([drawn.limit[0]] if drawn.limit else [])))

    def at(x):
        return begin + (end - begin) * ((math.log10(x) - low) / (high - low) if high > low else 0.5)

    def height(y):
        return floor - (floor - roof) * y / highest

    out = [text(left + WIDTH / 2, top + 22, drawn.title, kind="title")]
    for step in range(STEPS + 1):
        y = highest * step / STEPS
        out += [line(begin, height(y), end, height(y), "grid"),
                text(begin - 8, height(y) + 4, short(round(y, 6)), "end")]
    out += [text(at(x), floor + 18, short(x)) for x, _ in drawn.points]
    out.append(text((begin + end) / 2, floor + 36, name_of_x))
    if drawn.limit:
        out += [line(begin, height(drawn.limit[0]), end, height(drawn.limit[0]), "limit"),
                text(begin + 6, height(drawn.limit[0]) - 5, drawn.limit[1], "start", "limit-text")]
    track = " ".join(f"{at(x):.1f},{height(y):.1f}" for x, y in drawn.points)
    out.append(f'<polyline points="{track}" class="line"/>')
    for x, y in drawn.points:
        out.append(f'<circle cx="{at(x):.1f}" cy="{height(y):.1f}" r="4" class="dot"><title>{y:,}</title></circle>')
    return out


def write(path, name_of_x, panels):
    rows = math.ceil(len(panels) / 2)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" height="{rows * HEIGHT}" '
           f'viewBox="0 0 {2 * WIDTH} {rows * HEIGHT}">',
           f"<style>{STYLE}</style>", '<rect width="100%" height="100%" fill="white"/>']
    for number, drawn in enumerate(panels):
        out += panel(number % 2 * WIDTH, number // 2 * HEIGHT, name_of_x, drawn)
    path.write_text("\n".join([*out, "</svg>"]) + "\n")
