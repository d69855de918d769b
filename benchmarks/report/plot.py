# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small SVG plots: lines over a logarithmic axis, and bars. No background, and colours that can be read on white and on
black, because a page's theme is not known to an image."""
import math

GREY = "#7d8590"
COLOURS = ("#2f81f7", "#d29922", "#2da44e", "#e5534b", "#a475f9", "#1b9aaa")
FONT = 'font-family="sans-serif" font-size="12"'


def text(x, y, words, anchor="start", colour=GREY, extra=""):
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" {extra}>{words}</text>'


def rule(x1, y1, x2, y2, opacity=0.35, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GREY}" '
            f'stroke-opacity="{opacity}"{dashes}/>')


def document(width, height, title, body):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" {FONT}>'
    return "\n".join([head, f"<title>{title}</title>", *body, "</svg>", ""])


def short(number):
    """1000 -> 1k, 2048 -> 2048."""
    for unit, word in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit and number % unit == 0:
            return f"{number / unit:.0f}{word}"
    return f"{number:g}"


def decades(low, high):
    """1, 2, 5, 10, ... between two numbers."""
    first = math.floor(math.log10(low))
    return [m * 10.0 ** e for e in range(first, first + 12) for m in (1, 2, 5) if low <= m * 10.0 ** e <= high]


class Axis:
    def __init__(self, low, high, begin, end, logarithmic):
        self.low, self.high, self.begin, self.end, self.logarithmic = low, high, begin, end, logarithmic

    def __call__(self, number):
        if self.logarithmic:
            part = math.log(number / self.low) / math.log(self.high / self.low)
        else:
            part = (number - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)


def lines(title, x_title, y_title, series, y_logarithmic=True, width=760, height=420, key_width=190):
    """series: [(label, colour index, dash or "dots", [(x, y)])]; x is logarithmic with base 2."""
    if not any(points for _, _, _, points in series):
        raise SystemExit(f"report.py: nothing was measured for the plot \"{title}\"")
    left, right, top, bottom = 62, width - key_width, 34, height - 44
    xs = sorted({x for _, _, _, points in series for x, _ in points})
    ys = [y for _, _, _, points in series for _, y in points]
    x_axis = Axis(xs[0], max(xs[-1], xs[0] * 2), left, right, True)
    low, high = (min(ys) / 1.2, max(ys) * 1.2) if y_logarithmic else (0, max(ys) * 1.1)
    y_axis = Axis(low, high, bottom, top, y_logarithmic)
    steps = decades(low, high) if y_logarithmic else [i * 0.5 for i in range(1 + int(high / 0.5))]
    body = [text(left, 18, title, extra='font-weight="bold"'),
            text((left + right) / 2, height - 8, x_title, "middle"),
            text(14, (top + bottom) / 2, y_title, "middle", extra=f'transform="rotate(-90 14 {(top + bottom) / 2:.1f})"')]
    for y in steps:
        body += [rule(left, y_axis(y), right, y_axis(y)), text(left - 6, y_axis(y) + 4, short(y), "end")]
    for x in xs:
        body += [rule(x_axis(x), bottom, x_axis(x), bottom + 4), text(x_axis(x), bottom + 18, short(x), "middle")]
    for row, (label, colour, dash, points) in enumerate(series):
        paint = COLOURS[colour] if colour is not None else GREY
        key_y = top + 10 + 18 * row
        if dash == "dots":
            body += [f'<circle cx="{x_axis(x):.1f}" cy="{y_axis(y):.1f}" r="3.5" fill="none" stroke="{paint}" '
                     'stroke-width="1.5"/>' for x, y in points]
            body.append(f'<circle cx="{right + 30}" cy="{key_y - 4}" r="3.5" fill="none" stroke="{paint}" '
                        'stroke-width="1.5"/>')
        else:
            path = " ".join(f"{x_axis(x):.1f},{y_axis(y):.1f}" for x, y in points)
            style = f'fill="none" stroke="{paint}" stroke-width="2" stroke-dasharray="{dash}"'
            body += [f'<polyline points="{path}" {style}/>',
                     f'<polyline points="{right + 16},{key_y - 4} {right + 44},{key_y - 4}" {style}/>']
        body.append(text(right + 52, key_y, label))
    return document(width, height, title, body)


def bars(title, rows, marks=(), width=760):
    """rows: [(label, colour index, share)], shares of 1; marks: [(share, words)], dashed lines."""
    left, right, top, step = 310, width - 60, 50, 22
    bottom = top + step * len(rows)
    axis = Axis(0, 1, left, right, False)
    body = [text(left, 18, title, extra='font-weight="bold"')]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        body += [rule(axis(tick), top - 6, axis(tick), bottom), text(axis(tick), top - 12, f"{tick:.0%}", "middle")]
    for i, (label, colour, share) in enumerate(rows):
        y = top + step * i
        body += [text(left - 8, y + 14, label, "end"),
                 f'<rect x="{left}" y="{y + 3}" width="{axis(share) - left:.1f}" height="{step - 7}" '
                 f'fill="{COLOURS[colour]}"/>', text(axis(share) + 6, y + 14, f"{share:.0%}")]
    for share, words in marks:
        body += [rule(axis(share), top - 6, axis(share), bottom + 6, 1, "4 3"),
                 text(axis(share), bottom + 20, words, "middle")]
    return document(width, bottom + 30, title, body)
