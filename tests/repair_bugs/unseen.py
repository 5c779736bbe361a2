"""Owns slips that were written after the repair engine: nothing in it was changed for them.

Once the engine is changed because of one, that one belongs to another set.
"""

from tests.repair_bugs.slip import Slip

UNSEEN = (
    Slip(
        "page count",
        """
        def pages(total, size):
            if size <= 0:
                raise ValueError("size")
            return (total + size - 1) // size


        def page_of(items, number, size):
            first = (number - 1) * size
            return items[first : first + size]
        """,
        "first = (number - 1) * size",
        "first = number * size",
        ("page_of([1, 2, 3, 4, 5], 1, 2)", "page_of([1, 2, 3, 4, 5], 3, 2)", "pages(5, 2)", "pages(4, 2)"),
        ("page_of('abcdef', 2, 3)", "page_of([], 1, 5)", "page_of([1, 2, 3], 2, 1)", "pages(0, 3)"),
    ),
    Slip(
        "leap year",
        """
        def leap(year):
            return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


        def days(year):
            return 366 if leap(year) else 365
        """,
        "(year % 100 != 0 or year % 400 == 0)",
        "year % 100 != 0",
        ("leap(2000)", "leap(1900)", "leap(2024)", "days(2023)", "days(2400)"),
        ("leap(1600)", "leap(1800)", "leap(2100)", "leap(2004)", "days(2001)"),
    ),
    Slip(
        "path joining",
        """
        def joined(*parts):
            kept = []
            for part in parts:
                if part.startswith("/"):
                    kept = [""]
                kept += [piece for piece in part.split("/") if piece and piece != "."]
            return "/".join(kept)
        """,
        'kept = [""]',
        'kept += [""]',
        ("joined('a', 'b')", "joined('a', '/b', 'c')", "joined('a/./b', 'c/')", "joined('/x', 'y')"),
        ("joined('a', 'b', '/', 'c')", "joined('/a', '/b')", "joined('./a')", "joined('x', '/y/z')"),
    ),
    Slip(
        "intervals that overlap",
        """
        def merged(spans):
            found = []
            for start, stop in sorted(spans):
                if found and start <= found[-1][1]:
                    found[-1] = (found[-1][0], max(found[-1][1], stop))
                else:
                    found.append((start, stop))
            return found
        """,
        "max(found[-1][1], stop)",
        "stop",
        ("merged([(1, 9), (2, 3)])", "merged([(5, 6), (1, 2)])", "merged([(1, 4), (3, 6)])", "merged([])"),
        ("merged([(0, 10), (1, 2), (3, 4), (11, 12)])", "merged([(1, 2), (2, 3)])", "merged([(0, 5), (0, 1)])"),
    ),
    Slip(
        "least recently used",
        """
        class Cache:
            def __init__(self, size):
                self.size = size
                self.rows = {}

            def get(self, key):
                if key not in self.rows:
                    return None
                value = self.rows.pop(key)
                self.rows[key] = value
                return value

            def put(self, key, value):
                self.rows.pop(key, None)
                self.rows[key] = value
                if len(self.rows) > self.size:
                    del self.rows[next(iter(self.rows))]


        def played(size, *moves):
            cache = Cache(size)
            return [cache.get(move) if isinstance(move, str) else cache.put(*move) for move in moves]
        """,
        "        self.rows.pop(key, None)\n",
        "",
        (
            "played(2, ('a', 1), ('b', 2), ('a', 3), ('c', 4), 'a', 'b', 'c')",
            "played(1, ('a', 1), 'a', ('b', 2), 'a')",
            "played(2, ('a', 1), ('b', 2), 'a', ('c', 3), 'b', 'a')",
        ),
        (
            "played(3, ('a', 1), ('b', 2), ('c', 3), ('a', 9), ('d', 4), 'a', 'b')",
            "played(2, ('x', 1), ('y', 2), ('x', 5), ('z', 3), 'x', 'y', 'z')",
        ),
    ),
    Slip(
        "quoted fields",
        """
        def fields(line):
            found, now, quoted = [], "", False
            for sign in line:
                if sign == '"':
                    quoted = not quoted
                elif sign == "," and not quoted:
                    found.append(now)
                    now = ""
                else:
                    now += sign
            found.append(now)
            return found
        """,
        'sign == "," and not quoted',
        'sign == ","',
        ("fields('a,b')", "fields('\"a,b\",c')", "fields('')", "fields('x,\"y\",z')"),
        ("fields('\"1,2,3\"')", "fields(',')", 'fields(\'a,"b,c","d"\')', 'fields(\'"",""\')'),
    ),
    Slip(
        "versions compared as text",
        """
        def newest(versions):
            return max(versions, key=lambda text: [int(part) for part in text.split(".")])
        """,
        '[int(part) for part in text.split(".")]',
        'text.split(".")',
        ("newest(['1.2', '1.10', '1.9'])", "newest(['2.0', '1.9'])", "newest(['0.9', '0.11.1', '0.2'])"),
        ("newest(['10.0', '9.9'])", "newest(['1.0', '1.0.1'])", "newest(['3.8', '3.12', '3.9'])"),
    ),
    Slip(
        "money that is split",
        """
        def shares(cents, people):
            each, rest = divmod(cents, people)
            return [each + 1 if number < rest else each for number in range(people)]
        """,
        "number < rest",
        "number <= rest",
        ("shares(100, 3)", "shares(101, 3)", "shares(9, 3)", "shares(5, 4)"),
        ("shares(0, 2)", "shares(1, 3)", "shares(999, 10)", "shares(7, 7)"),
    ),
    Slip(
        "flattening stops too soon",
        """
        def flat(value):
            if not isinstance(value, list):
                return [value]
            found = []
            for part in value:
                found.extend(flat(part))
            return found
        """,
        "found.extend(flat(part))",
        "found.extend(part if isinstance(part, list) else [part])",
        ("flat([1, [2, [3, [4]]]])", "flat([])", "flat([[], [[]]])", "flat([1, 2])"),
        ("flat([[[[1]]]])", "flat(['ab', ['c']])", "flat([[1], [2, [3]]])", "flat(7)"),
    ),
    Slip(
        "words that wrap",
        """
        def wrapped(text, width):
            lines, now = [], ""
            for word in text.split():
                if now and len(now) + 1 + len(word) > width:
                    lines.append(now)
                    now = word
                else:
                    now = f"{now} {word}".strip()
            if now:
                lines.append(now)
            return lines
        """,
        "len(now) + 1 + len(word) > width",
        "len(now) + len(word) > width",
        ("wrapped('aa bb cc', 5)", "wrapped('aaa bbb', 6)", "wrapped('', 4)", "wrapped('a b c d', 3)"),
        ("wrapped('aa bbb', 5)", "wrapped('one two three four', 9)", "wrapped('long', 2)", "wrapped('ab cd', 4)"),
    ),
    Slip(
        "configuration that is laid over",
        """
        def laid_over(base, more):
            found = dict(base)
            for key, value in more.items():
                if isinstance(value, dict) and isinstance(found.get(key), dict):
                    found[key] = laid_over(found[key], value)
                else:
                    found[key] = value
            return found


        def unchanged(base, more):
            laid_over(base, more)
            return base
        """,
        "found = dict(base)",
        "found = base",
        (
            "laid_over({'a': 1}, {'b': 2})",
            "unchanged({'a': {'x': 1}}, {'a': {'y': 2}})",
            "unchanged({'a': 1}, {'a': 2})",
            "laid_over({'a': {'x': 1}}, {'a': {'y': 2}})",
        ),
        ("unchanged({}, {'k': 1})", "laid_over({'a': 1}, {'a': {'b': 1}})", "unchanged({'a': {'b': {}}}, {'a': 3})"),
    ),
    Slip(
        "order of a graph",
        """
        def order(needs):
            found, seen = [], set()

            def visit(name):
                if name in seen:
                    return
                seen.add(name)
                for other in sorted(needs.get(name, ())):
                    visit(other)
                found.append(name)

            for name in sorted(needs):
                visit(name)
            return found
        """,
        "        for other in sorted(needs.get(name, ())):\n            visit(other)\n        found.append(name)\n",
        "        found.append(name)\n        for other in sorted(needs.get(name, ())):\n            visit(other)\n",
        ("order({'a': ['b'], 'b': []})", "order({'c': ['b'], 'b': ['a'], 'a': []})", "order({})"),
        ("order({'x': ['y', 'z'], 'y': ['z'], 'z': []})", "order({'a': ['q']})", "order({'b': ['a'], 'a': ['b']})"),
    ),
    Slip(
        "median of an even number",
        """
        def median(values):
            ordered = sorted(values)
            middle = len(ordered) // 2
            if len(ordered) % 2:
                return ordered[middle]
            return (ordered[middle - 1] + ordered[middle]) / 2
        """,
        "(ordered[middle - 1] + ordered[middle]) / 2",
        "ordered[middle]",
        ("median([1, 2, 3])", "median([4, 1, 3, 2])", "median([5])", "median([1, 9])"),
        ("median([2, 2])", "median([10, 0, 5, 1])", "median([3, 1, 2])", "median([1, 2, 3, 4, 5, 6])"),
    ),
    Slip(
        "retries",
        """
        def tried(action, times):
            for number in range(1, times + 1):
                try:
                    return action(number)
                except OSError:
                    if number == times:
                        raise
            return None
        """,
        "number == times",
        "number == times - 1",
        ("tried(third, 3)", "tried(third, 5)", "tried(lambda number: number, 1)", "kind(lambda: tried(third, 2))"),
        ("tried(third, 4)", "kind(lambda: tried(third, 1))", "tried(lambda number: 'ok', 3)"),
        """
        def third(number):
            if number < 3:
                raise OSError(number)
            return number


        def kind(action):
            try:
                return action()
            except Exception as error:
                return type(error).__name__
        """,
    ),
    Slip(
        "template with a missing name",
        """
        import re


        def filled(text, values):
            def one(match):
                name = match.group(1)
                return str(values[name]) if name in values else match.group(0)

            return re.sub(r"\\{(\\w+)\\}", one, text)
        """,
        "str(values[name]) if name in values else match.group(0)",
        "str(values.get(name))",
        ("filled('{a} {b}', {'a': 1})", "filled('{a}', {'a': 0})", "filled('x', {})"),
        ("filled('{q}{q}', {'q': 'z'})", "filled('{none}', {})", "filled('{a}{b}', {'b': None})"),
    ),
    Slip(
        "roman numbers",
        """
        VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


        def number(text):
            total = 0
            for sign, after in zip(text, [*text[1:], ""]):
                value = VALUES[sign]
                total += -value if after and VALUES[after] > value else value
            return total
        """,
        "VALUES[after] > value",
        "VALUES[after] >= value",
        ("number('III')", "number('IV')", "number('XIV')", "number('XX')"),
        ("number('XLII')", "number('XCIX')", "number('CCC')", "number('VIII')"),
    ),
)
