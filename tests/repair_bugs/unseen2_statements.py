"""Owns the second half of a second unseen set: statements and guards that are missing, too many or out of place.

Written from slips that people make and mend in code of every day, without a look at the kinds of edits.
"""

from tests.repair_bugs.slip import Slip

STATEMENTS = (
    Slip(
        "a report that says whether it changed",
        """
        def settle(values):
            changed = False
            for place in range(len(values) - 1):
                if values[place] > values[place + 1]:
                    values[place], values[place + 1] = values[place + 1], values[place]
                    changed = True
            return changed


        def rounds(values):
            count = 0
            while settle(values):
                count += 1
            return count, values
        """,
        "    return changed\n",
        "    return False\n",
        ("rounds([3, 2, 1])", "rounds([1, 2])", "settle([2, 1])", "settle([])", "rounds([2, 3, 1])"),
        ("rounds([4, 3, 2, 1])", "settle([1, 1])", "rounds([1, 3, 2])", "settle([0, 5, 4])"),
    ),
    Slip(
        "all choices",
        """
        def choices(items):
            if not items:
                return [[]]
            rest = choices(items[1:])
            return rest + [[items[0], *choice] for choice in rest]


        def sums(numbers):
            return sorted({sum(choice) for choice in choices(numbers)})
        """,
        "    if not items:\n        return [[]]\n",
        "",
        ("choices([])", "choices([1])", "sums([1, 2])", "choices('ab')"),
        ("choices([1, 2, 3])", "sums([])", "sums([5, 5])", "choices('')"),
    ),
    Slip(
        "who reports to whom",
        """
        def chain(people, name):
            found = []
            person = people.get(name)
            while person is not None:
                found.append(person["name"])
                person = people.get(person["boss"])
            return found
        """,
        "while person is not None:",
        'while person["boss"]:',
        (
            "chain({'a': {'name': 'A', 'boss': None}}, 'a')",
            "chain({'a': {'name': 'A', 'boss': 'b'}, 'b': {'name': 'B', 'boss': None}}, 'a')",
            "chain({}, 'q')",
            "chain({'x': {'name': 'X', 'boss': 'gone'}}, 'x')",
        ),
        ("chain({'a': {'name': 'A', 'boss': ''}}, 'a')", "chain({'a': {'name': 'A', 'boss': None}}, 'b')"),
    ),
    Slip(
        "looking along a path",
        """
        def looked_up(tree, path, other=None):
            now = tree
            for part in path:
                try:
                    now = now[part]
                except (KeyError, IndexError):
                    return other
            return now
        """,
        "except (KeyError, IndexError)",
        "except KeyError",
        (
            "looked_up({'a': [1, 2]}, ['a', 1])",
            "looked_up([1], [4])",
            "looked_up({'a': {}}, ['b'], 0)",
            "looked_up({'a': []}, ['a', 0], 'x')",
        ),
        ("looked_up([[]], [0, 0], 9)", "looked_up({}, [])", "looked_up({'q': 'zz'}, ['q', 1])"),
    ),
    Slip(
        "highest of what is below nothing",
        """
        def highest(readings):
            best = None
            for name, value in readings:
                if best is None or value > best[1]:
                    best = (name, value)
            return best


        def coldest(days):
            found = highest([(name, -value) for name, value in days])
            return found and found[0]
        """,
        "best = None",
        'best = ("", 0)',
        ("highest([('a', -5), ('b', -2)])", "highest([('x', 1), ('y', 3)])", "highest([])", "coldest([('m', 4)])"),
        ("coldest([('m', 4), ('n', -1)])", "highest([('k', 0)])", "coldest([])", "highest([('a', 1), ('b', 1)])"),
    ),
    Slip(
        "longest rise",
        """
        def rise(values):
            best = now = 1 if values else 0
            for before, value in zip(values, values[1:]):
                now = now + 1 if value > before else 1
                best = max(best, now)
            return best


        def total(steps, start=0):
            height = start
            for step in steps:
                height += step
            return height
        """,
        "height = start",
        "height = 0",
        ("total([1, 2], 5)", "total([], 3)", "total([4])", "rise([1, 2, 1])", "total([-1], 1)"),
        ("total([])", "total([2, -2], 9)", "total(range(4), -6)", "rise([])"),
    ),
    Slip(
        "duplicates that stay apart",
        """
        def positions(words):
            found = {}
            for place, word in enumerate(words):
                found.setdefault(word, []).append(place)
            return found


        def repeated(words):
            several = []
            for word, places in positions(words).items():
                if len(places) > 1:
                    several.append(word)
            return several
        """,
        "            several.append(word)\n    return several\n",
        "            several.append(word)\n        return several\n",
        ("repeated('abcb')", "repeated('xyx')", "repeated([])", "repeated('zzyy')", "repeated('abc')"),
        ("repeated('q')", "repeated(['a', 'b', 'b', 'a'])", "repeated('mississippi')"),
    ),
    Slip(
        "lengths of runs",
        """
        def runs(text):
            found = []
            count = 0
            last = None
            for sign in text:
                if sign != last and count:
                    found.append((last, count))
                    count = 0
                last = sign
                count += 1
            if count:
                found.append((last, count))
            return found
        """,
        "            count = 0\n        last = sign\n",
        "        last = sign\n",
        ("runs('aab')", "runs('')", "runs('xyz')", "runs('qq')"),
        ("runs('abba')", "runs('a')", "runs('ppppq')"),
    ),
    Slip(
        "search that gives up",
        """
        def located(rows, wanted):
            found = []
            for number, row in enumerate(rows):
                for place, value in enumerate(row):
                    if value == wanted:
                        found.append((number, place))
            return found
        """,
        "                found.append((number, place))\n",
        "                found.append((number, place))\n                break\n",
        ("located([[1, 1]], 1)", "located([[2], [1, 2, 2]], 2)", "located([], 1)", "located([[3, 4]], 4)"),
        ("located(['aba', 'b'], 'a')", "located([[0, 0, 0]], 0)", "located([[1]], 2)"),
    ),
    Slip(
        "average of nothing",
        """
        def lowest(values):
            if not values:
                raise ValueError("no values")
            return min(values)


        def mean(values):
            if not values:
                raise ValueError("no values")
            return sum(values) / len(values)


        def kind(action, values):
            try:
                return action(values)
            except Exception as error:
                return type(error).__name__
        """,
        '    if not values:\n        raise ValueError("no values")\n    return sum',
        "    return sum",
        ("kind(mean, [])", "mean([1, 2])", "kind(mean, ())", "kind(lowest, [])", "lowest([3, 1])"),
        ("kind(mean, {})", "mean([5])", "kind(lowest, [2])"),
    ),
    Slip(
        "board whose rows are one",
        """
        def board(width, height):
            return [["."] * width for _ in range(height)]


        def drawn(width, height, *marks):
            rows = board(width, height)
            for x, y in marks:
                rows[y][x] = "#"
            return ["".join(row) for row in rows]
        """,
        '[["."] * width for _ in range(height)]',
        '[["."] * width] * height',
        ("drawn(2, 2, (0, 0))", "drawn(3, 1, (1, 0))", "drawn(2, 3, (1, 1), (0, 2))", "drawn(1, 1)"),
        ("drawn(2, 2, (0, 0), (1, 1))", "drawn(3, 3)", "drawn(0, 2)", "drawn(1, 3, (0, 1))"),
    ),
    Slip(
        "removed while it is walked",
        """
        def weeded(items, wanted):
            for item in list(items):
                if not wanted(item):
                    items.remove(item)
            return items


        def odd(numbers):
            return weeded(numbers, lambda number: number % 2)
        """,
        "for item in list(items):",
        "for item in items:",
        ("odd([2, 4, 1])", "odd([1, 3])", "odd([1, 6, 8, 10])", "weeded([], bool)"),
        ("odd([2, 2, 2, 2])", "weeded([0, '', 1, None], bool)", "odd([4])"),
    ),
    Slip(
        "multipliers made in a loop",
        """
        def multipliers(factors):
            found = {}
            for factor in factors:
                found[factor] = lambda value, factor=factor: value * factor
            return found


        def applied(factors, value):
            return [action(value) for action in multipliers(factors).values()]
        """,
        "lambda value, factor=factor: value * factor",
        "lambda value: value * factor",
        ("applied([1, 2], 5)", "applied([3], 2)", "applied([], 1)", "applied([4, 0, 2], 'a')"),
        ("applied([10, 1], 1)", "multipliers([2, 3])[2](7)"),
    ),
    Slip(
        "history that is undone",
        """
        class Editor:
            def __init__(self):
                self.text = ""
                self.done = []
                self.undone = []

            def write(self, more):
                self.done.append(self.text)
                self.undone.clear()
                self.text += more

            def undo(self):
                if self.done:
                    self.undone.append(self.text)
                    self.text = self.done.pop()

            def redo(self):
                if self.undone:
                    self.done.append(self.text)
                    self.text = self.undone.pop()


        def played(*moves):
            editor = Editor()
            for move in moves:
                {"<": editor.undo, ">": editor.redo}.get(move, lambda move=move: editor.write(move))()
            return editor.text
        """,
        "            self.done.append(self.text)\n            self.text = self.undone.pop()\n",
        "            self.text = self.undone.pop()\n",
        ("played('a', '<', '>', '<')", "played('a', 'b', '<')", "played('a', '<', '>', 'b', '<', '<')", "played()"),
        ("played('x', 'y', '<', '<', '>', '>', '<')", "played('a', '<', '>')", "played('<', '>')"),
    ),
    Slip(
        "numbers that are used up",
        """
        def normal(values):
            values = list(values)
            total = sum(values)
            return [value / total for value in values]


        def shares(counts):
            names = sorted(counts)
            return dict(zip(names, normal(counts[name] for name in names)))
        """,
        "    values = list(values)\n    total",
        "    total",
        ("normal([1, 3])", "shares({'a': 1, 'b': 1})", "shares({'x': 4})", "normal([])"),
        ("normal(iter([2, 2]))", "shares({})", "normal((5, 15))"),
    ),
)
