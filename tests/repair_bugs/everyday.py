"""Owns everyday slips of other kinds than the classic programs have: guards, defaults, text, classes, two at once."""

from tests.repair_bugs.slip import Slip

EVERYDAY = (
    Slip(
        "no guard against None",
        """
        def initials(people):
            found = []
            for person in people:
                name = person.get("name")
                if name is None:
                    continue
                found.append(name[0].upper())
            return found
        """,
        "        if name is None:\n            continue\n",
        "",
        ("initials([{'name': 'ada'}, {}, {'name': 'bob'}])", "initials([])", "initials([{'name': 'x'}])"),
        ("initials([{}, {}])", "initials([{'name': None}, {'name': 'zed'}])", "initials([{'name': 'cyd'}, {}])"),
    ),
    Slip(
        "wrong exception",
        """
        def number_or(text, other):
            try:
                return int(text)
            except ValueError:
                return other
        """,
        "except ValueError",
        "except KeyError",
        ("number_or('12', 0)", "number_or('a', 7)", "number_or('', -1)"),
        ("number_or('1.5', 2)", "number_or(' 3 ', 2)", "number_or('x1', None)"),
    ),
    Slip(
        "default that is shared",
        """
        def gathered(value, into=None):
            if into is None:
                into = []
            into.append(value)
            return into
        """,
        "into=None",
        "into=[]",
        ("(gathered(1), gathered(2))", "gathered(3, [1])", "(gathered(5), gathered(6, [0]), gathered(7))"),
        ("[gathered(n) for n in range(3)]", "(gathered('a'), gathered('b'))"),
    ),
    Slip(
        "no stripping",
        """
        def pairs(text):
            found = {}
            for line in text.splitlines():
                key, _, value = line.partition("=")
                found[key.strip()] = value.strip()
            return found
        """,
        "found[key.strip()]",
        "found[key]",
        ("pairs('a = 1')", "pairs('a=1')", "pairs('x = 2\\ny = 3')"),
        ("pairs('')", "pairs('  b  = 3 ')", "pairs('k=')"),
    ),
    Slip(
        "case is not ignored",
        """
        def count_word(text, word):
            count = 0
            for part in text.lower().split():
                if part == word:
                    count += 1
            return count
        """,
        "text.lower().split()",
        "text.split()",
        ("count_word('The cat the dog', 'the')", "count_word('a b', 'c')", "count_word('a b a', 'a')"),
        ("count_word('THE end of The THE', 'the')", "count_word('', 'a')", "count_word('Ab aB', 'ab')"),
    ),
    Slip(
        "return within the loop",
        """
        def all_even(numbers):
            for number in numbers:
                if number % 2:
                    return False
            return True
        """,
        "            return False\n    return True\n",
        "            return False\n        return True\n",
        ("all_even([2, 4])", "all_even([2, 3])", "all_even([4, 6, 7])", "all_even([3, 2])"),
        ("all_even([])", "all_even([2, 2, 2, 1])", "all_even([8])", "all_even([1])"),
    ),
    Slip(
        "wrong order of sorting",
        """
        def best_three(scores):
            ranked = sorted(scores, key=scores.get, reverse=True)
            return ranked[:3]
        """,
        ", reverse=True)",
        ")",
        ("best_three({'a': 1, 'b': 5, 'c': 3, 'd': 4})", "best_three({})", "best_three({'x': 1, 'y': 2})"),
        ("best_three({'p': 9, 'q': 8, 'r': 7, 's': 6, 't': 10})", "best_three({'k': 0})"),
    ),
    Slip(
        "wrong initial value",
        """
        def product(numbers):
            result = 1
            for number in numbers:
                result *= number
            return result
        """,
        "result = 1",
        "result = 0",
        ("product([2, 3])", "product([0, 4])", "product([5])"),
        ("product([])", "product([-1, 2, 7])", "product([1, 1])"),
    ),
    Slip(
        "condition of a comprehension",
        """
        def adults(people, limit):
            return sorted(name for name, age in people.items() if age >= limit)
        """,
        " if age >= limit",
        "",
        ("adults({'a': 20, 'b': 10, 'c': 18}, 18)", "adults({}, 18)", "adults({'x': 50}, 18)"),
        ("adults({'p': 17, 'q': 18, 'r': 19}, 18)", "adults({'p': 3}, 2)", "adults({'p': 3}, 4)"),
    ),
    Slip(
        "forgotten else value",
        """
        def label(count, word):
            if count == 1:
                return f"{count} {word}"
            return f"{count} {word}s"
        """,
        "if count == 1:",
        "if count:",
        ("label(1, 'cat')", "label(2, 'cat')", "label(0, 'cat')"),
        ("label(3, 'dog')", "label(10, 'cat')", "label(1, 'x')"),
    ),
    Slip(
        "account that forgets",
        """
        class Account:
            def __init__(self, owner, balance=0):
                self.owner, self.balance, self.log = owner, balance, []

            def pay(self, amount):
                if amount > self.balance:
                    return False
                self.balance -= amount
                self.log.append(amount)
                return True


        def spent(amounts, balance):
            account = Account("a", balance)
            done = [account.pay(amount) for amount in amounts]
            return done, account.balance, account.log
        """,
        "        self.balance -= amount\n",
        "",
        ("spent([5, 6], 10)", "spent([], 3)", "spent([1, 1, 1], 2)", "spent([9], 5)"),
        ("spent([3, 3, 3], 7)", "spent([10], 10)", "spent([4, 9, 1], 6)"),
    ),
    Slip(
        "wrong attribute of a class",
        """
        class Box:
            def __init__(self, width, height, depth):
                self.width, self.height, self.depth = width, height, depth

            def volume(self):
                return self.width * self.height * self.depth

            def front(self):
                return self.width * self.height
        """,
        "return self.width * self.height\n",
        "return self.width * self.depth\n",
        ("Box(2, 3, 4).front()", "Box(1, 1, 1).front()", "Box(2, 3, 4).volume()", "Box(5, 2, 9).front()"),
        ("Box(7, 1, 2).front()", "Box(0, 3, 9).front()", "Box(3, 3, 3).volume()"),
    ),
    Slip(
        "base case that is missing",
        """
        def factorial(number):
            if number <= 1:
                return 1
            return number * factorial(number - 1)
        """,
        "    if number <= 1:\n        return 1\n",
        "",
        ("factorial(1)", "factorial(5)", "factorial(3)"),
        ("factorial(0)", "factorial(2)", "factorial(10)"),
    ),
    Slip(
        "loop that starts too late",
        """
        def mirrored(text):
            for i in range(len(text) // 2):
                if text[i] != text[-1 - i]:
                    return False
            return True
        """,
        "text[-1 - i]",
        "text[-i]",
        ("mirrored('abba')", "mirrored('abc')", "mirrored('racecar')", "mirrored('a')", "mirrored('abca')"),
        ("mirrored('')", "mirrored('ab')", "mirrored('xyzyx')", "mirrored('xyzzx')", "mirrored('noon')"),
    ),
    Slip(
        "statements in the wrong order",
        """
        def fibonacci(count):
            found = []
            one, other = 0, 1
            while len(found) < count:
                found.append(one)
                one, other = other, one + other
            return found
        """,
        "        found.append(one)\n        one, other = other, one + other\n",
        "        one, other = other, one + other\n        found.append(one)\n",
        ("fibonacci(1)", "fibonacci(5)", "fibonacci(0)", "fibonacci(8)"),
        ("fibonacci(2)", "fibonacci(3)", "fibonacci(12)"),
    ),
    Slip(
        "needless statement",
        """
        def running(numbers):
            total, found = 0, []
            for number in numbers:
                total += number
                found.append(total)
            return found
        """,
        "        found.append(total)\n",
        "        found.append(total)\n        total = 0\n",
        ("running([1, 2, 3])", "running([])", "running([5])", "running([4, -4, 4])"),
        ("running([0, 7, 1])", "running([2, 2])", "running([-1, -1, -1])"),
    ),
    Slip(
        "call that is missing",
        """
        def _clean(word):
            return word.strip(".,!").lower()


        def vocabulary(text):
            found = set()
            for word in text.split():
                found.add(_clean(word))
            return sorted(found)
        """,
        "found.add(_clean(word))",
        "found.add(word)",
        ("vocabulary('The cat, the dog.')", "vocabulary('a b')", "vocabulary('Stop! stop')"),
        ("vocabulary('')", "vocabulary('A a, a.')", "vocabulary('One, two')"),
    ),
    Slip(
        "average of nothing",
        """
        def average(numbers):
            if not numbers:
                return 0
            return sum(numbers) / len(numbers)
        """,
        "    if not numbers:\n        return 0\n",
        "",
        ("average([])", "average([1, 2])", "average([4])"),
        ("average([0])", "average([1, 1, 4])", "average(())"),
    ),
    Slip(
        "value of a missing key",
        """
        def tally(words):
            counts = {}
            for word in words:
                counts[word] = counts.get(word, 0) + 1
            return counts
        """,
        "counts.get(word, 0)",
        "counts.get(word)",
        ("tally(['a', 'b', 'a'])", "tally([])", "tally(['x'])"),
        ("tally(['a', 'a', 'a'])", "tally(list('hello'))"),
    ),
    Slip(
        "two slips at once",
        """
        def clamp(value, low, high):
            if value < low:
                return low
            if value > high:
                return high
            return value
        """,
        "    if value < low:\n        return low\n    if value > high:\n        return high\n",
        "    if value < low:\n        return high\n    if value > high:\n        return low\n",
        ("clamp(5, 0, 9)", "clamp(-5, 0, 9)", "clamp(50, 0, 9)"),
        ("clamp(0, 0, 9)", "clamp(9, 0, 9)", "clamp(-1, 1, 2)", "clamp(7, 1, 2)"),
    ),
    Slip(
        "two slips far apart",
        """
        def summary(numbers):
            lowest = highest = numbers[0]
            for number in numbers:
                if number < lowest:
                    lowest = number
                if number > highest:
                    highest = number
            return lowest, highest
        """,
        "        if number < lowest:\n            lowest = number\n        if number > highest:\n",
        "        if number > lowest:\n            lowest = number\n        if number < highest:\n",
        ("summary([3])", "summary([1, 2, 3])", "summary([3, 2, 1])", "summary([2, 9, 4])"),
        ("summary([5, 5])", "summary([-1, 0, 1])", "summary([7, 1, 8, 2])"),
    ),
    Slip(
        "range without its step",
        """
        def chunks(items, size):
            return [items[start : start + size] for start in range(0, len(items), size)]
        """,
        "range(0, len(items), size)",
        "range(0, len(items))",
        ("chunks([1, 2, 3, 4], 2)", "chunks([], 3)", "chunks([1, 2, 3], 2)"),
        ("chunks([1], 5)", "chunks(list(range(7)), 3)", "chunks([1, 2], 1)"),
    ),
    Slip(
        "a copy that is none",
        """
        def with_item(items, item):
            grown = list(items)
            grown.append(item)
            return items, grown
        """,
        "grown = list(items)",
        "grown = items",
        ("with_item([1], 2)", "with_item([], 0)"),
        ("with_item([3, 4], 5)", "with_item(['a'], 'b')"),
    ),
    Slip(
        "joined by the wrong text",
        """
        def path_of(parts):
            return "/".join(part.strip("/") for part in parts if part)
        """,
        '"/".join',
        '"".join',
        ("path_of(['a', 'b'])", "path_of(['/a/', 'b/'])", "path_of([])", "path_of(['x'])"),
        ("path_of(['a', '', 'c'])", "path_of(['/', 'b'])"),
    ),
)
