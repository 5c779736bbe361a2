"""Owns the first half of a second unseen set: expressions that say something else than what was meant.

Written from slips that people make and mend in code of every day, without a look at the kinds of edits.
"""

from tests.repair_bugs.slip import Slip

VALUES = (
    Slip(
        "permissions that are all needed",
        """
        READ, WRITE, RUN = 1, 2, 4


        def allowed(held, needed):
            return held & needed == needed


        def doors(held, rooms):
            return [name for name, needed in sorted(rooms.items()) if allowed(held, needed)]
        """,
        "held & needed == needed",
        "held & needed != 0",
        (
            "allowed(READ, READ | WRITE)",
            "allowed(READ | RUN, RUN)",
            "doors(3, {'a': 1, 'b': 6, 'c': 0})",
            "allowed(0, RUN)",
        ),
        ("allowed(7, 5)", "allowed(5, 7)", "allowed(0, 0)", "doors(4, {'x': 4, 'y': 5})"),
    ),
    Slip(
        "quiet hours over midnight",
        """
        def quiet(hour, start, stop):
            if start <= stop:
                return start <= hour < stop
            return hour >= start or hour < stop


        def heard(hours, start, stop):
            return [hour for hour in hours if not quiet(hour, start, stop)]
        """,
        "hour >= start or hour < stop",
        "hour >= start and hour < stop",
        ("quiet(23, 22, 6)", "quiet(12, 22, 6)", "quiet(3, 22, 6)", "heard([1, 9, 22], 22, 6)", "quiet(9, 8, 10)"),
        ("quiet(6, 22, 6)", "quiet(22, 22, 6)", "heard([0, 5, 7], 23, 5)", "quiet(4, 4, 4)"),
    ),
    Slip(
        "moving average",
        """
        def averages(values, size):
            if size <= 0:
                raise ValueError("a window has a size")
            found = []
            for start in range(len(values) - size + 1):
                window = values[start : start + size]
                found.append(sum(window) / size)
            return found
        """,
        "range(len(values) - size + 1)",
        "range(len(values) - size)",
        ("averages([1, 2, 3], 2)", "averages([4], 1)", "averages([1], 2)", "averages([2, 4, 6, 8], 4)"),
        ("averages([], 1)", "averages([1, 1, 4, 4], 3)", "averages([5, 7], 1)"),
    ),
    Slip(
        "tags with spaces",
        """
        def tags(text):
            found = []
            for part in text.split(","):
                tag = part.strip().lower()
                if tag and tag not in found:
                    found.append(tag)
            return found
        """,
        "part.strip().lower()",
        "part.lower()",
        ("tags('a, B')", "tags('x,,y')", "tags('one , One')", "tags('')"),
        ("tags(' ')", "tags('a b, c')", "tags('p,p ,q')"),
    ),
    Slip(
        "ranks with ties",
        """
        def ranks(scores):
            ordered = sorted(scores, reverse=True)
            return [ordered.index(score) + 1 for score in scores]


        def podium(scores):
            return sum(rank <= 3 for rank in ranks(scores))
        """,
        "sorted(scores, reverse=True)",
        "sorted(set(scores), reverse=True)",
        ("ranks([10, 20, 20, 5])", "podium([4, 4, 4, 4, 1])", "ranks([3, 2, 1])", "podium([9, 9, 9, 8])"),
        ("ranks([1, 1, 0])", "ranks([])", "podium([5, 5, 4, 3])", "ranks([7, 9, 9, 9, 8])"),
    ),
    Slip(
        "brightness kept within bounds",
        """
        def kept(value, low, high):
            return max(low, min(value, high))


        class Lamp:
            def __init__(self, low=10, high=90):
                self.low, self.high, self.level = low, high, low

            def turn(self, by):
                self.level = kept(self.level + by, self.low, self.high)
                return self.level
        """,
        "kept(self.level + by, self.low, self.high)",
        "kept(self.low, self.level + by, self.high)",
        ("Lamp().turn(-5)", "Lamp().turn(500)", "Lamp(0, 5).turn(2)", "kept(3, 1, 2)", "Lamp(1, 3).turn(9)"),
        ("Lamp(0, 100).turn(101)", "Lamp(5, 6).turn(-9)", "Lamp(2, 8).turn(7)"),
    ),
    Slip(
        "settings with an equals sign in them",
        """
        def settings(lines):
            found = {}
            for line in lines:
                if "=" not in line:
                    continue
                name, value = line.split("=", 1)
                found[name.strip()] = value.strip()
            return found
        """,
        'line.split("=", 1)',
        'line.split("=")',
        ("settings(['a=1'])", "settings(['url=x?y=1'])", "settings(['k = = '])", "settings(['none'])"),
        ("settings(['a=b=c=d'])", "settings(['x=', 'y==z'])", "settings([])"),
    ),
    Slip(
        "distance in a grid",
        """
        class Place:
            def __init__(self, x, y):
                self.x = x
                self.y = y

            def distance(self, other):
                return abs(self.x - other.x) + abs(self.y - other.y)


        def far(places):
            home = Place(0, 0)
            return max((home.distance(Place(*place)) for place in places), default=0)
        """,
        "abs(self.y - other.y)",
        "abs(self.y - other.x)",
        ("Place(1, 2).distance(Place(4, 6))", "far([(1, 5), (2, 2)])", "far([])", "far([(3, 3)])"),
        ("Place(-1, 0).distance(Place(0, -7))", "far([(0, 9)])", "Place(2, 3).distance(Place(2, 3))"),
    ),
    Slip(
        "rows and columns exchanged",
        """
        def transposed(rows):
            if not rows:
                return []
            found = []
            for column in range(len(rows[0])):
                found.append([row[column] for row in rows])
            return found
        """,
        "range(len(rows[0]))",
        "range(len(rows))",
        ("transposed([[1, 2, 3]])", "transposed([[1, 2], [3, 4]])", "transposed([[1], [2], [3]])", "transposed([])"),
        ("transposed([[], []])", "transposed([[1, 2, 3], [4, 5, 6]])", "transposed(['ab', 'cd', 'ef'])"),
    ),
    Slip(
        "groups that nobody is in",
        """
        def reachable(members, group):
            found = []
            for name in members.get(group, ()):
                if name.startswith("@"):
                    found.extend(reachable(members, name))
                else:
                    found.append(name)
            return sorted(set(found))
        """,
        "members.get(group, ())",
        "members.get(group)",
        (
            "reachable({'@a': ['x', '@b'], '@b': ['y']}, '@a')",
            "reachable({}, '@a')",
            "reachable({'@a': ['z', '@none']}, '@a')",
        ),
        ("reachable({'@a': ['@c', '@d'], '@d': ['q']}, '@a')", "reachable({'@a': []}, '@b')"),
    ),
    Slip(
        "masked card",
        """
        def masked(number, shown=4):
            digits = "".join(sign for sign in number if sign.isdigit())
            if len(digits) <= shown:
                return digits
            return "*" * (len(digits) - shown) + digits[-shown:]
        """,
        "digits[-shown:]",
        "digits[shown:]",
        ("masked('1234 5678 9012')", "masked('123456', 2)", "masked('12')", "masked('12345678')"),
        ("masked('1-2-3-4-5')", "masked('987654321', 1)", "masked('4444', 4)"),
    ),
    Slip(
        "name without its ending",
        """
        def stem(name):
            for ending in (".tar.gz", ".txt", ".gz"):
                if name.endswith(ending):
                    return name.removesuffix(ending)
            return name


        def stems(names):
            return sorted({stem(name) for name in names})
        """,
        "name.removesuffix(ending)",
        "name.rstrip(ending)",
        ("stem('text.txt')", "stem('notes.md')", "stems(['bag.gz', 'rat.tar.gz'])", "stem('a.txt')"),
        ("stem('zigzag.tar.gz')", "stems(['x.txt', 'x.gz'])", "stem('exit.txt')", "stem('.gz')"),
    ),
    Slip(
        "lines that say something",
        """
        def useful(lines):
            return [line for line in lines if line.strip() and not line.startswith("#")]


        def shape(text):
            kept = useful(text.splitlines())
            return len(kept), max((len(line) for line in kept), default=0)
        """,
        'line.strip() and not line.startswith("#")',
        'not line.startswith("#")',
        ("useful(['a', '', '# b'])", "useful(['x'])", "shape('a\\n\\nbb')", "shape('#\\n  ')"),
        ("useful([' ', 'y z'])", "shape('')", "useful(['#'])", "shape('abc\\n   \\n# q')"),
    ),
    Slip(
        "limit that may be nothing",
        """
        def first(items, limit=None):
            count = 10 if limit is None else limit
            return list(items)[:count]


        def described(items, limit=None):
            kept = first(items, limit)
            return f"{len(kept)} of {len(items)}"
        """,
        "10 if limit is None else limit",
        "limit or 10",
        ("first('abc', 0)", "first(range(20))", "described([1, 2], 0)", "described([1, 2, 3], 2)"),
        ("first([], 0)", "described('x' * 12)", "described('xyz', 0)", "first('abcdef', 3)"),
    ),
    Slip(
        "every part of a password",
        """
        def strong(word):
            if len(word) < 6:
                return False
            checks = [str.isupper, str.islower, str.isdigit]
            return all(any(check(sign) for sign in word) for check in checks)
        """,
        "all(any(check(sign) for sign in word) for check in checks)",
        "any(any(check(sign) for sign in word) for check in checks)",
        ("strong('Passw0rd')", "strong('password')", "strong('Ab1')", "strong('PASS99')"),
        ("strong('123456')", "strong('aB3aB3')", "strong('ABCDEF')", "strong('abcDEF')"),
    ),
    Slip(
        "best first, then by name",
        """
        def table(points):
            rows = sorted(points.items(), key=lambda row: (-row[1], row[0]))
            return [name for name, _ in rows]


        def winner(points):
            return table(points)[0] if points else None
        """,
        "(-row[1], row[0])",
        "(row[1], row[0])",
        ("table({'b': 2, 'a': 1})", "winner({'x': 1, 'y': 5})", "table({'d': 3, 'c': 3})", "winner({})"),
        ("table({'q': 0, 'p': 4, 'r': 4})", "winner({'m': 2, 'k': 2})", "table({})"),
    ),
    Slip(
        "degrees of another scale",
        """
        def celsius(fahrenheit):
            return round((fahrenheit - 32) * 5 / 9, 1)


        def warmest(readings):
            return max(map(celsius, readings))
        """,
        "(fahrenheit - 32) * 5 / 9",
        "fahrenheit - 32 * 5 / 9",
        ("celsius(212)", "celsius(32)", "warmest([50, 68])", "celsius(-40)"),
        ("celsius(100)", "warmest([0, 14])", "celsius(451)"),
    ),
)
