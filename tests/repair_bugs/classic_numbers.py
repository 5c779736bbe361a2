"""Owns classic small programs over numbers and lists, each with one slip of the kinds that QuixBugs made known."""

from tests.repair_bugs.slip import Slip

NUMBERS = (
    Slip(
        "count of set bits",
        """
        def ones(number):
            count = 0
            while number:
                number &= number - 1
                count += 1
            return count
        """,
        "number &= number - 1",
        "number ^= number - 1",
        ("ones(0)", "ones(127)", "ones(128)", "ones(3005)", "ones(13)", "ones(14)"),
        ("ones(1)", "ones(2**31 - 1)", "ones(2**20)", "ones(1000003)", "ones(27)", "ones(6)"),
    ),
    Slip(
        "counting sort",
        """
        def counting_sort(values, top):
            tally = [0] * top
            for value in values:
                tally[value] += 1
            ordered = []
            for value, times in enumerate(tally):
                ordered.extend([value] * times)
            return ordered
        """,
        "enumerate(tally)",
        "enumerate(values)",
        (
            "counting_sort([], 4)",
            "counting_sort([3, 11, 2, 9, 1, 5], 12)",
            "counting_sort([3, 2, 4, 2, 3, 5], 6)",
            "counting_sort([1, 3, 4, 6, 4, 2, 9, 1, 2, 9], 10)",
        ),
        ("counting_sort([0, 0, 1], 2)", "counting_sort([5, 4, 3, 2, 1, 0], 6)", "counting_sort([7], 8)"),
    ),
    Slip(
        "first place in sorted",
        """
        def first_place(items, wanted):
            low, high = 0, len(items)
            while low < high:
                middle = (low + high) // 2
                if items[middle] == wanted and (middle == 0 or items[middle - 1] != wanted):
                    return middle
                if wanted <= items[middle]:
                    high = middle
                else:
                    low = middle + 1
            return -1
        """,
        "while low < high",
        "while low <= high",
        (
            "first_place([3, 4, 5, 5, 5, 5, 6], 5)",
            "first_place([3, 4, 5, 5, 5, 5, 6], 7)",
            "first_place([3, 4, 5, 5, 5, 5, 6], 2)",
            "first_place([3, 6, 7, 9, 9, 10, 14, 27], 14)",
            "first_place([0, 1, 6, 8, 13, 14, 67, 128], 80)",
        ),
        (
            "first_place([], 1)",
            "first_place([1], 1)",
            "first_place([1], 0)",
            "first_place([2, 2, 2], 2)",
            "first_place(list(range(50)), 49)",
            "first_place(list(range(50)), 50)",
        ),
    ),
    Slip(
        "place in sorted",
        """
        def place(items, wanted):
            def look(start, stop):
                if start == stop:
                    return -1
                middle = start + (stop - start) // 2
                if wanted < items[middle]:
                    return look(start, middle)
                if wanted > items[middle]:
                    return look(middle + 1, stop)
                return middle

            return look(0, len(items))
        """,
        "look(middle + 1, stop)",
        "look(middle, stop)",
        (
            "place([3, 4, 5, 5, 5, 5, 6], 5)",
            "place([1, 2, 3, 4, 6, 7, 8], 5)",
            "place([1, 2, 3, 4, 6, 7, 8], 4)",
            "place([2, 4, 6, 8, 10, 12, 14, 16, 18, 20], 18)",
            "place([3, 5, 6, 7, 8, 9, 12, 13, 14, 24, 26, 27], 0)",
            "place([3, 5, 6, 7, 8, 9, 12, 12, 14, 24, 26, 27], 12)",
        ),
        ("place([], 3)", "place([5], 6)", "place(list(range(33)), 32)", "place([1, 3], 2)", "place([1, 3], 3)"),
    ),
    Slip(
        "greatest common divisor",
        """
        def common(first, second):
            if second == 0:
                return first
            return common(second, first % second)
        """,
        "common(second, first % second)",
        "common(first % second, second)",
        ("common(17, 0)", "common(13, 13)", "common(37, 600)", "common(20, 100)", "common(624129, 2061517)"),
        ("common(3, 12)", "common(12, 18)", "common(0, 7)", "common(100, 75)", "common(1, 999)"),
    ),
    Slip(
        "prime factors",
        """
        def factors(number):
            if number == 1:
                return []
            for divisor in range(2, int(number**0.5) + 1):
                if number % divisor == 0:
                    return [divisor, *factors(number // divisor)]
            return [number]
        """,
        "return [number]",
        "return []",
        ("factors(1)", "factors(100)", "factors(101)", "factors(104)", "factors(2)", "factors(3)"),
        ("factors(17)", "factors(63)", "factors(74)", "factors(73)", "factors(9837)", "factors(97 * 89)"),
    ),
    Slip(
        "towers of Hanoi",
        """
        def moves(height, source=1, target=3):
            steps = []
            if height > 0:
                spare = ({1, 2, 3} - {source} - {target}).pop()
                steps.extend(moves(height - 1, source, spare))
                steps.append((source, target))
                steps.extend(moves(height - 1, spare, target))
            return steps
        """,
        "steps.append((source, target))",
        "steps.append((source, spare))",
        ("moves(0, 1, 3)", "moves(1, 1, 3)", "moves(2, 1, 3)", "moves(3, 1, 3)"),
        ("moves(1, 2, 1)", "moves(2, 1, 2)", "moves(4, 3, 1)", "moves(3)"),
    ),
    Slip(
        "k smallest sort",
        """
        import heapq


        def nearly_sorted(values, near):
            heap = values[:near]
            heapq.heapify(heap)
            ordered = []
            for value in values[near:]:
                ordered.append(heapq.heappushpop(heap, value))
            while heap:
                ordered.append(heapq.heappop(heap))
            return ordered
        """,
        "in values[near:]",
        "in values",
        (
            "nearly_sorted([1, 2, 3, 4, 5], 0)",
            "nearly_sorted([3, 2, 1, 5, 4], 2)",
            "nearly_sorted([5, 4, 3, 2, 1], 4)",
            "nearly_sorted([3, 12, 5, 1, 6], 3)",
        ),
        ("nearly_sorted([], 3)", "nearly_sorted([2, 1], 1)", "nearly_sorted([2, 1, 3, 5, 4, 6], 2)"),
    ),
    Slip(
        "k-th smallest",
        """
        def kth(values, rank):
            pivot = values[0]
            below = [value for value in values if value < pivot]
            above = [value for value in values if value > pivot]
            fewer = len(below)
            at_most = len(values) - len(above)
            if rank < fewer:
                return kth(below, rank)
            if rank >= at_most:
                return kth(above, rank - at_most)
            return pivot
        """,
        "kth(above, rank - at_most)",
        "kth(above, rank)",
        (
            "kth([1, 2, 3, 4, 5, 6, 7], 4)",
            "kth([3, 6, 7, 1, 6, 3, 8, 9], 5)",
            "kth([3, 6, 7, 1, 6, 3, 8, 9], 2)",
            "kth([2, 6, 8, 3, 5, 7], 0)",
            "kth([34, 25, 7, 1, 9], 4)",
            "kth([45, 2, 6, 8, 42, 90, 322], 1)",
        ),
        ("kth([1], 0)", "kth([1, 1, 1], 2)", "kth([9, 8, 7, 6], 3)", "kth([1, 2, 3, 4], 3)", "kth([5, 1, 5, 9], 3)"),
    ),
    Slip(
        "largest sum of a run",
        """
        def best_run(values):
            here = 0
            best = 0
            for value in values:
                here = max(0, here + value)
                best = max(best, here)
            return best
        """,
        "here = max(0, here + value)",
        "here = here + value",
        (
            "best_run([4, -5, 2, 1, -1, 3])",
            "best_run([0, -1, 2, -1, 3, -1, 0])",
            "best_run([3, 4, 5])",
            "best_run([4, -2, -8, 5, -2, 7, 7, 2, -6, 5])",
        ),
        ("best_run([])", "best_run([-4, -4, -5])", "best_run([-2, 1, -3, 4, -1, 2, 1, -5, 4])", "best_run([-9, 5])"),
    ),
    Slip(
        "merge sort",
        """
        def merge_sort(values):
            def merge(left, right):
                merged = []
                i = 0
                j = 0
                while i < len(left) and j < len(right):
                    if left[i] <= right[j]:
                        merged.append(left[i])
                        i += 1
                    else:
                        merged.append(right[j])
                        j += 1
                merged.extend(left[i:] or right[j:])
                return merged

            if len(values) <= 1:
                return values
            middle = len(values) // 2
            return merge(merge_sort(values[:middle]), merge_sort(values[middle:]))
        """,
        "if len(values) <= 1",
        "if len(values) == 0",
        (
            "merge_sort([])",
            "merge_sort([1, 2, 6, 72, 7, 33, 4])",
            "merge_sort([3, 1, 4, 1, 5, 9, 2, 6, 5])",
            "merge_sort([4, 2, 1])",
        ),
        ("merge_sort([1])", "merge_sort([2, 1])", "merge_sort([5, 5, 5, 1])", "merge_sort(list(range(20, 0, -1)))"),
    ),
    Slip(
        "next palindrome",
        """
        def next_palindrome(digits):
            high = len(digits) // 2
            low = (len(digits) - 1) // 2
            while high < len(digits) and low >= 0:
                if digits[high] == 9:
                    digits[high] = 0
                    digits[low] = 0
                    high += 1
                    low -= 1
                else:
                    digits[high] += 1
                    if low != high:
                        digits[low] += 1
                    return digits
            return [1] + (len(digits) - 1) * [0] + [1]
        """,
        "(len(digits) - 1) * [0]",
        "len(digits) * [0]",
        ("next_palindrome([1, 4, 9, 4, 1])", "next_palindrome([1, 3, 1])", "next_palindrome([9, 9, 9, 9])"),
        ("next_palindrome([9])", "next_palindrome([9, 9])", "next_palindrome([4, 7, 2, 5, 5, 2, 7, 4])"),
    ),
    Slip(
        "next permutation",
        """
        def following(order):
            for i in range(len(order) - 2, -1, -1):
                if order[i] < order[i + 1]:
                    for j in range(len(order) - 1, i, -1):
                        if order[i] < order[j]:
                            after = list(order)
                            after[i], after[j] = order[j], order[i]
                            after[i + 1 :] = reversed(after[i + 1 :])
                            return after
            return None
        """,
        "if order[i] < order[j]:",
        "if order[j] < order[i]:",
        (
            "following([3, 2, 4, 1])",
            "following([3, 5, 6, 2, 1])",
            "following([3, 5, 6, 2])",
            "following([4, 5, 1, 7, 9])",
        ),
        (
            "following([1, 2, 3])",
            "following([1])",
            "following([2, 1])",
            "following([1, 3, 2])",
            "following([4, 3, 2, 1])",
        ),
    ),
    Slip(
        "Pascal's triangle",
        """
        def pascal(size):
            rows = [[1]]
            for number in range(1, size):
                row = []
                for column in range(0, number + 1):
                    left = rows[number - 1][column - 1] if column > 0 else 0
                    right = rows[number - 1][column] if column < number else 0
                    row.append(left + right)
                rows.append(row)
            return rows
        """,
        "range(0, number + 1)",
        "range(0, number)",
        ("pascal(1)", "pascal(2)", "pascal(3)", "pascal(5)"),
        ("pascal(4)", "pascal(7)", "pascal(9)"),
    ),
    Slip(
        "ways to give change",
        """
        def ways(coins, total):
            if total == 0:
                return 1
            if total < 0 or not coins:
                return 0
            first, *others = coins
            return ways(coins, total - first) + ways(others, total)
        """,
        "if total < 0 or not coins:",
        "if total < 0:",
        ("ways([1, 4, 2], -7)", "ways([1, 5, 10, 25], 11)", "ways([1, 5, 10, 25], 75)", "ways([3, 7, 42, 78], 10)"),
        ("ways([], 5)", "ways([2], 3)", "ways([3, 7, 42, 78], 42)", "ways([], 0)", "ways([1, 2, 5], 9)"),
    ),
    Slip(
        "quick sort",
        """
        def quick_sort(values):
            if not values:
                return []
            pivot = values[0]
            smaller = quick_sort([value for value in values[1:] if value < pivot])
            larger = quick_sort([value for value in values[1:] if value >= pivot])
            return smaller + [pivot] + larger
        """,
        "if value >= pivot",
        "if value > pivot",
        ("quick_sort([1, 2, 6, 72, 7, 33, 4])", "quick_sort([3, 1, 4, 1, 5, 9, 2])", "quick_sort([5, 4, 3, 2, 1])"),
        ("quick_sort([])", "quick_sort([1, 1])", "quick_sort([2, 3, 2, 3, 2])", "quick_sort([1])"),
    ),
    Slip(
        "sieve of primes",
        """
        def primes(top):
            found = []
            for number in range(2, top + 1):
                if all(number % prime > 0 for prime in found):
                    found.append(number)
            return found
        """,
        "if all(number",
        "if any(number",
        ("primes(1)", "primes(2)", "primes(4)", "primes(7)", "primes(20)", "primes(50)"),
        ("primes(0)", "primes(3)", "primes(11)", "primes(100)"),
    ),
    Slip(
        "square root by halving errors",
        """
        def root(number, error):
            guess = number / 2
            while abs(number - guess**2) > error:
                guess = 0.5 * (guess + number / guess)
            return round(guess, 3)
        """,
        "abs(number - guess**2)",
        "abs(number - guess)",
        ("root(2, 0.0000001)", "root(2, 0.00001)", "root(4, 0.000001)", "root(27, 0.0000001)", "root(33, 0.00001)"),
        ("root(100, 0.0000001)", "root(3, 0.000001)", "root(170, 0.000003)", "root(1, 0.0000001)"),
    ),
    Slip(
        "number in a base",
        '''
        import string


        def in_base(number, base):
            """Digits and then capital letters."""
            signs = string.digits + string.ascii_uppercase
            text = ""
            while number > 0:
                digit = number % base
                number = number // base
                text = signs[digit] + text
            return text
        ''',
        "text = signs[digit] + text",
        "text = text + signs[digit]",
        ("in_base(8227, 18)", "in_base(73, 8)", "in_base(16, 19)", "in_base(31, 16)", "in_base(41, 2)"),
        ("in_base(44, 5)", "in_base(27, 23)", "in_base(56, 23)", "in_base(8237, 24)", "in_base(10, 3)"),
    ),
    Slip(
        "knapsack",
        """
        def fill(capacity, things):
            best = [[0] * (capacity + 1) for _ in range(len(things) + 1)]
            for i, (weight, worth) in enumerate(things, start=1):
                for room in range(1, capacity + 1):
                    best[i][room] = best[i - 1][room]
                    if weight <= room:
                        best[i][room] = max(best[i][room], worth + best[i - 1][room - weight])
            return best[len(things)][capacity]
        """,
        "if weight <= room",
        "if weight < room",
        (
            "fill(50, [(60, 10), (50, 8), (20, 4), (20, 4), (8, 3), (3, 2)])",
            "fill(10, [(5, 10), (4, 40), (6, 30), (3, 50)])",
            "fill(100, [(60, 10), (50, 8), (20, 4), (20, 4), (8, 3), (3, 2)])",
            "fill(26, [(12, 24), (7, 13), (11, 23), (8, 15), (9, 16)])",
        ),
        ("fill(5, [(5, 9)])", "fill(4, [(5, 9)])", "fill(7, [(3, 4), (4, 5), (7, 8)])", "fill(0, [(1, 1)])"),
    ),
)
