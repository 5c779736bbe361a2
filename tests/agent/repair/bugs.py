"""Owns small functions with one classic slip each, what mends it, and tests of which some pass and some fail."""

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True, slots=True)
class Bug:
    """`source` is `code.py` with the slip on the line `wrong`; `mended` are lines that would be right there."""

    name: str
    source: str
    tests: str
    wrong: str
    mended: tuple[str, ...]

    def files(self) -> dict[str, str]:
        """The project: one module and its tests."""
        return {"code_here.py": dedent(self.source).lstrip(), "test_code.py": dedent(self.tests).lstrip()}


BUGS = (
    Bug(
        "off by one in range",
        """
        def is_prime(number):
            if number < 2:
                return False
            for divisor in range(2, int(number ** 0.5)):
                if number % divisor == 0:
                    return False
            return True
        """,
        """
        from code_here import is_prime

        def test_small(): assert [n for n in range(4) if is_prime(n)] == [2, 3]
        def test_squares(): assert not is_prime(9) and not is_prime(25) and not is_prime(49)
        def test_four(): assert not is_prime(4)
        def test_large(): assert is_prime(97) and not is_prime(91)
        def test_six(): assert not is_prime(6)
        """,
        "for divisor in range(2, int(number ** 0.5)):",
        ("for divisor in range(2, int(number ** 0.5) + 1):",),
    ),
    Bug(
        "wrong comparison",
        """
        def largest(values):
            best = values[0]
            for value in values[1:]:
                if value < best:
                    best = value
            return best
        """,
        """
        from code_here import largest

        def test_one(): assert largest([3]) == 3
        def test_rising(): assert largest([1, 2, 3]) == 3
        def test_mixed(): assert largest([4, 9, -2, 7]) == 9
        def test_equal(): assert largest([5, 5]) == 5
        """,
        "if value < best:",
        ("if value > best:", "if value >= best:"),
    ),
    Bug(
        "missing not",
        """
        def words(text):
            found = []
            for part in text.split(" "):
                if part.isspace() or part in found:
                    found.append(part)
            return found
        """,
        """
        from code_here import words

        def test_nothing(): assert words(chr(9)) == []
        def test_words(): assert words("a b c") == ["a", "b", "c"]
        def test_twice(): assert words("a b a") == ["a", "b"]
        """,
        "if part.isspace() or part in found:",
        ("if not (part.isspace() or part in found):",),
    ),
    Bug(
        "swapped arguments",
        """
        def power(base, exponent):
            return 1 if exponent == 0 else base * power(base, exponent - 1)

        def compound(amount, rate, years):
            return amount * power(years, 1 + rate)
        """,
        """
        from code_here import compound, power

        def test_power(): assert power(2, 5) == 32
        def test_nothing(): assert compound(0, 1, 3) == 0
        def test_doubles(): assert compound(10, 1, 3) == 80
        def test_triples(): assert compound(1, 2, 2) == 9
        """,
        "return amount * power(years, 1 + rate)",
        ("return amount * power(1 + rate, years)",),
    ),
    Bug(
        "wrong variable",
        """
        def clamp(value, low, high):
            if value < low:
                return low
            if value > high:
                return low
            return value
        """,
        """
        from code_here import clamp

        def test_inside(): assert clamp(5, 0, 9) == 5
        def test_below(): assert clamp(-5, 0, 9) == 0
        def test_above(): assert clamp(50, 0, 9) == 9
        """,
        "return low",
        ("return high",),
    ),
    Bug(
        "and for or",
        """
        def is_leap(year):
            return year % 4 == 0 and year % 100 != 0 and year % 400 == 0
        """,
        """
        import pytest
        from code_here import is_leap

        @pytest.mark.parametrize("year", [1900, 2001, 2100, 2023])
        def test_common(year): assert not is_leap(year)
        @pytest.mark.parametrize("year", [1996, 2000, 2024])
        def test_leap(year): assert is_leap(year)
        """,
        "return year % 4 == 0 and year % 100 != 0 and year % 400 == 0",
        ("return year % 4 == 0 and year % 100 != 0 or year % 400 == 0",),
    ),
    Bug(
        "minus for plus",
        """
        def running_totals(numbers):
            total, totals = 0, []
            for number in numbers:
                total = total - number
                totals.append(total)
            return totals
        """,
        """
        from code_here import running_totals

        def test_empty(): assert running_totals([]) == []
        def test_zeros(): assert running_totals([0, 0]) == [0, 0]
        def test_numbers(): assert running_totals([1, 2, 3]) == [1, 3, 6]
        """,
        "total = total - number",
        ("total = total + number",),
    ),
    Bug(
        "wrong constant",
        """
        def seconds(minutes):
            return minutes * 61
        """,
        """
        from code_here import seconds

        def test_none(): assert seconds(0) == 0
        def test_minutes(): assert seconds(2) == 120
        """,
        "return minutes * 61",
        ("return minutes * 60",),
    ),
    Bug(
        "returns the wrong variable",
        """
        def divide(total, size):
            count, rest = 0, total
            while rest >= size:
                rest -= size
                count += 1
            return rest, count
        """,
        """
        from code_here import divide

        def test_equal(): assert divide(0, 3) == (0, 0)
        def test_divide(): assert divide(17, 5) == (3, 2)
        def test_exact(): assert divide(12, 4) == (3, 0)
        """,
        "return rest, count",
        ("return count, rest",),
    ),
    Bug(
        "bound of a slice",
        """
        def rotate(items, by):
            by %= len(items)
            return items[by:] + items[:by - 1]
        """,
        """
        from code_here import rotate

        def test_one(): assert rotate([1], 0) == [1]
        def test_by_one(): assert rotate([1, 2, 3], 1) == [2, 3, 1]
        def test_by_two(): assert rotate([1, 2, 3], 2) == [3, 1, 2]
        def test_round(): assert rotate([1, 2, 3], 4) == [2, 3, 1]
        """,
        "return items[by:] + items[:by - 1]",
        ("return items[by:] + items[:by]",),
    ),
    Bug(
        "less for less or equal",
        """
        def find(items, wanted):
            low, high = 0, len(items) - 1
            while low < high:
                middle = (low + high) // 2
                if items[middle] == wanted:
                    return middle
                if items[middle] < wanted:
                    low = middle + 1
                else:
                    high = middle - 1
            return -1
        """,
        """
        from code_here import find

        def test_middle(): assert find([1, 3, 5], 3) == 1
        def test_absent(): assert find([1, 3, 5], 4) == -1
        def test_none(): assert find([], 4) == -1
        def test_only(): assert find([7], 7) == 0
        def test_last(): assert find([1, 3, 5], 5) == 2
        """,
        "while low < high:",
        ("while low <= high:",),
    ),
    Bug(
        "None check",
        """
        def price(amount, rate=None):
            if not rate:
                rate = 20
            return amount * rate
        """,
        """
        from code_here import price

        def test_usual(): assert price(5) == 100
        def test_given(): assert price(5, 3) == 15
        def test_free(): assert price(5, 0) == 0
        """,
        "if not rate:",
        ("if rate is None:",),
    ),
    Bug(
        "endless loop",
        """
        def gcd(a, b):
            while b:
                a, b = b, b % a
            return a
        """,
        """
        from code_here import gcd

        def test_zero(): assert gcd(4, 0) == 4
        def test_gcd(): assert gcd(12, 18) == 6
        def test_prime(): assert gcd(7, 3) == 1
        """,
        "a, b = b, b % a",
        ("a, b = b, a % b",),
    ),
    Bug(
        "forgotten return",
        """
        def depth(tree):
            if not tree:
                return 0
            1 + max(depth(child) for child in tree)
        """,
        """
        from code_here import depth

        def test_leaf(): assert depth([]) == 0
        def test_tree(): assert depth([[], [[]]]) == 2
        """,
        "1 + max(depth(child) for child in tree)",
        ("return 1 + max(depth(child) for child in tree)",),
    ),
    Bug(
        "needless not",
        """
        class Stack:
            def __init__(self):
                self.items, self.popped = [], 0

            def push(self, item):
                self.items.append(item)

            def pop(self):
                if not self.items:
                    self.popped += 1
                    return self.items.pop()
                return None
        """,
        """
        from code_here import Stack

        def test_push():
            stack = Stack()
            stack.push(1)
            assert stack.items == [1]

        def test_pop():
            stack = Stack()
            stack.push(1)
            assert stack.pop() == 1 and stack.popped == 1

        def test_empty(): assert Stack().pop() is None
        """,
        "if not self.items:",
        ("if self.items:", "if self.items is not None:"),
    ),
    Bug(
        "wrong attribute",
        """
        class Span:
            def __init__(self, first, last):
                self.first, self.last = first, last

            def length(self):
                return self.last - self.last
        """,
        """
        from code_here import Span

        def test_first(): assert Span(2, 8).first == 2
        def test_length(): assert Span(2, 8).length() == 6
        def test_zero(): assert Span(8, 8).length() == 0
        """,
        "return self.last - self.last",
        ("return self.last - self.first",),
    ),
)
