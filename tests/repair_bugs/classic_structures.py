"""Owns classic small programs over text, trees and graphs, each with one slip of the kinds that QuixBugs made known."""

from tests.repair_bugs.slip import Slip

_NODES = """
def net(**edges):
    nodes = {name: Node(name) for name in edges}
    for name, after in edges.items():
        nodes[name].after = [nodes[other] for other in after]
        for other in after:
            nodes[other].before.append(nodes[name])
    return nodes
"""
_NODE = """
        class Node:
            def __init__(self, name):
                self.name, self.after, self.before = name, [], []

"""
_LINKS = """
def chain(count, back=None):
    cells = [Cell(number) for number in range(count)]
    for one, other in zip(cells, cells[1:]):
        one.next = other
    if back is not None:
        cells[-1].next = cells[back]
    return cells[0] if cells else None

def values(cell):
    found = []
    while cell:
        found.append(cell.value)
        cell = cell.next
    return found
"""
_CELL = """
        class Cell:
            def __init__(self, value, next=None):
                self.value, self.next = value, next

"""
_ROADS = "{('a', 'b'): 3, ('a', 'c'): 10, ('b', 'c'): 4, ('c', 'd'): 1, ('b', 'd'): 9, ('d', 'e'): 2}"
_WEB = "net(a='bc', b='d', c='d', d='e', e='', x='y', y='x')"

STRUCTURES = (
    Slip(
        "breadth first search",
        f"""
        from collections import deque

{_NODE}
        def reaches(start, goal):
            queue = deque([start])
            seen = {{start}}
            while queue:
                node = queue.popleft()
                if node is goal:
                    return True
                fresh = [other for other in node.after if other not in seen]
                queue.extend(fresh)
                seen.update(fresh)
            return False
        """,
        "while queue:",
        "while True:",
        tuple(f"(lambda n: reaches(n[{a!r}], n[{b!r}]))({_WEB})" for a, b in ("ae", "aa", "ax", "eb")),
        tuple(f"(lambda n: reaches(n[{a!r}], n[{b!r}]))({_WEB})" for a, b in ("be", "xy", "ya", "ec", "cd")),
        _NODES,
    ),
    Slip(
        "depth first search",
        f"""
{_NODE}
        def reaches(start, goal):
            visited = set()

            def search(node):
                if node in visited:
                    return False
                if node is goal:
                    return True
                visited.add(node)
                return any(search(other) for other in node.after)

            return search(start)
        """,
        "        visited.add(node)\n",
        "",
        tuple(f"(lambda n: reaches(n[{a!r}], n[{b!r}]))({_WEB})" for a, b in ("ae", "aa", "xa", "eb")),
        tuple(f"(lambda n: reaches(n[{a!r}], n[{b!r}]))({_WEB})" for a, b in ("be", "xy", "ya", "ec", "cd")),
        _NODES,
    ),
    Slip(
        "cycle in a chain",
        f"""
{_CELL}
        def is_round(cell):
            slow = fast = cell
            while True:
                if fast is None or fast.next is None:
                    return False
                slow = slow.next
                fast = fast.next.next
                if slow is fast:
                    return True
        """,
        "if fast is None or fast.next is None:",
        "if fast.next is None:",
        ("is_round(chain(5))", "is_round(chain(5, 0))", "is_round(chain(6))", "is_round(chain(3, 2))"),
        (
            "is_round(None)",
            "is_round(chain(1))",
            "is_round(chain(2))",
            "is_round(chain(1, 0))",
            "is_round(chain(4, 1))",
        ),
        _LINKS,
    ),
    Slip(
        "flattening",
        """
        def flat(items):
            for item in items:
                if isinstance(item, list):
                    for inner in flat(item):
                        yield inner
                else:
                    yield item
        """,
        "yield item",
        "yield flat(item)",
        ("list(flat([[1, [], [2, 3]], [[4]], 5]))", "list(flat([[], [], []]))", "list(flat(['moe', 'larry']))"),
        ("list(flat([]))", "list(flat([1, [2, [3, [4]]]]))", "list(flat([[[[1]]]]))"),
    ),
    Slip(
        "balanced parentheses",
        """
        def is_balanced(text):
            depth = 0
            for sign in text:
                if sign == "(":
                    depth += 1
                else:
                    depth -= 1
                    if depth < 0:
                        return False
            return depth == 0
        """,
        "return depth == 0",
        "return True",
        ("is_balanced('((()()))()')", "is_balanced(')()(')", "is_balanced('((')"),
        ("is_balanced('')", "is_balanced('(')", "is_balanced('()(')", "is_balanced('(()')", "is_balanced('()()')"),
    ),
    Slip(
        "length of a common run",
        """
        def common_run(first, second):
            longest = {}
            for i in range(len(first)):
                for j in range(len(second)):
                    if first[i] == second[j]:
                        longest[i, j] = longest.get((i - 1, j - 1), 0) + 1
            return max(longest.values()) if longest else 0
        """,
        "longest.get((i - 1, j - 1), 0)",
        "longest.get((i - 1, j), 0)",
        (
            "common_run('witch', 'which')",
            "common_run('meow', 'homeowner')",
            "common_run('fun', '')",
            "common_run('fun', 'function')",
            "common_run('cyborg', 'cyber')",
            "common_run('loophole', 'low')",
        ),
        ("common_run('aa', 'aaa')", "common_run('abcbc', 'bcbcb')", "common_run('x', 'y')", "common_run('ab', 'ba')"),
    ),
    Slip(
        "edit distance",
        """
        def distance(source, target):
            if source == "" or target == "":
                return len(source) or len(target)
            if source[0] == target[0]:
                return distance(source[1:], target[1:])
            return 1 + min(
                distance(source, target[1:]),
                distance(source[1:], target[1:]),
                distance(source[1:], target),
            )
        """,
        "        return distance(source[1:], target[1:])\n",
        "        return 1 + distance(source[1:], target[1:])\n",
        ("distance('electron', 'neutron')", "distance('kitten', 'sitting')", "distance('amanaplan', 'apland')"),
        ("distance('', '')", "distance('abc', '')", "distance('abc', 'abc')", "distance('rose', 'horse')"),
    ),
    Slip(
        "longest rising part",
        """
        def rising(values):
            ends = {}
            longest = 0
            for i, value in enumerate(values):
                fitting = [length for length in range(1, longest + 1) if values[ends[length]] < value]
                length = max(fitting) if fitting else 0
                if length == longest or value < values[ends[length + 1]]:
                    ends[length + 1] = i
                    longest = max(longest, length + 1)
            return longest
        """,
        "longest = max(longest, length + 1)",
        "longest = length + 1",
        (
            "rising([])",
            "rising([3])",
            "rising([10, 20, 11, 32, 22, 48, 43])",
            "rising([4, 2, 1])",
            "rising([5, 1, 3, 4, 7])",
            "rising([4, 1])",
            "rising([0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15])",
            "rising([2, 5, 1])",
        ),
        ("rising([1, 2, 3, 0])", "rising([9, 1, 8, 2, 7, 3])", "rising([2, 2, 2])", "rising([-1, 2, 5, 3, 0, 6, -5])"),
    ),
    Slip(
        "longest common part",
        """
        def common_part(first, second):
            if not first or not second:
                return ""
            if first[0] == second[0]:
                return first[0] + common_part(first[1:], second[1:])
            return max(common_part(first, second[1:]), common_part(first[1:], second), key=len)
        """,
        "first[0] + common_part(first[1:], second[1:])",
        "first[0] + common_part(first[1:], second)",
        (
            "common_part('headache', 'pentadactyl')",
            "common_part('daenarys', 'targaryen')",
            "common_part('XMJYAUZ', 'MZJAWXU')",
            "common_part('thisisatest', 'testing123')",
            "common_part('12', '1298')",
        ),
        ("common_part('', 'a')", "common_part('aa', 'a')", "common_part('bab', 'ab')", "common_part('abc', 'cba')"),
    ),
    Slip(
        "spanning tree",
        """
        def cheapest(weights):
            groups = {}
            chosen = set()
            for edge in sorted(weights, key=weights.__getitem__):
                one, other = edge
                left = groups.setdefault(one, {one})
                right = groups.setdefault(other, {other})
                if left is not right:
                    chosen.add(edge)
                    left.update(right)
                    for node in right:
                        groups[node] = left
            return sorted(chosen)
        """,
        "                groups[node] = left\n",
        "                groups[node].update(left)\n",
        (
            "cheapest({(1, 2): 10, (2, 3): 15, (3, 4): 10, (1, 4): 10})",
            "cheapest({(1, 2): 6, (1, 3): 1, (2, 4): 2})",
            "cheapest({('B', 'C'): 3, ('C', 'D'): 5, ('A', 'B'): 1, ('A', 'D'): 4, ('A', 'C'): 2})",
        ),
        (
            "cheapest({})",
            "cheapest({(1, 2): 1})",
            "cheapest({(1, 2): 1, (3, 4): 2, (2, 3): 3, (1, 4): 4, (1, 3): 5})",
            "cheapest({(1, 2): 3, (2, 3): 1, (1, 3): 2, (3, 4): 9, (2, 4): 8})",
        ),
    ),
    Slip(
        "all subsets",
        """
        def subsets(items):
            if items:
                first, *others = items
                without = subsets(others)
                return without + [[first, *rest] for rest in without]
            return [[]]
        """,
        "return without + [[first, *rest] for rest in without]",
        "return [[first, *rest] for rest in without]",
        ("subsets(['a', 'b', 'c'])", "subsets(['a', 'b'])", "subsets([])", "subsets(['x', 'df', 'z', 'm'])"),
        ("subsets([1])", "subsets([1, 2, 3])", "subsets([[], 1])"),
    ),
    Slip(
        "reversing a chain",
        f"""
{_CELL}
        def turned(cell):
            before = None
            while cell:
                after = cell.next
                cell.next = before
                before = cell
                cell = after
            return before
        """,
        "        before = cell\n",
        "",
        ("values(turned(chain(5)))", "values(turned(chain(1)))", "values(turned(None))"),
        ("values(turned(chain(2)))", "values(turned(chain(3)))", "values(turned(turned(chain(4))))"),
        _LINKS,
    ),
    Slip(
        "postfix calculator",
        """
        def calculate(tokens):
            rules = {
                "+": lambda one, other: one + other,
                "-": lambda one, other: one - other,
                "*": lambda one, other: one * other,
                "/": lambda one, other: one / other,
            }
            stack = []
            for token in tokens:
                if isinstance(token, float):
                    stack.append(token)
                else:
                    top = stack.pop()
                    below = stack.pop()
                    stack.append(rules[token](below, top))
            return stack.pop()
        """,
        "rules[token](below, top)",
        "rules[token](top, below)",
        (
            "calculate([3.0, 5.0, '+', 2.0, '/'])",
            "calculate([2.0, 2.0, '+'])",
            "calculate([7.0, 4.0, '+', 3.0, '-'])",
            "calculate([1.0, 2.0, '*', 3.0, 4.0, '*', '+'])",
        ),
        ("calculate([5.0])", "calculate([5.0, 9.0, 2.0, '*', '+'])", "calculate([1.0, 8.0, '/', 2.0, '-'])"),
    ),
    Slip(
        "length of the shortest way",
        """
        import heapq


        def way_length(roads, start, goal):
            heap = [(0, start)]
            seen = set()
            while heap:
                length, place = heapq.heappop(heap)
                if place == goal:
                    return length
                if place in seen:
                    continue
                seen.add(place)
                for (one, other), cost in roads.items():
                    if one == place and other not in seen:
                        heapq.heappush(heap, (length + cost, other))
            return None
        """,
        "(length + cost, other)",
        "(cost, other)",
        tuple(f"way_length({_ROADS}, {a!r}, {b!r})" for a, b in ("ae", "ac", "aa", "ba")),
        tuple(f"way_length({_ROADS}, {a!r}, {b!r})" for a, b in ("ad", "be", "cd", "ea", "bd")),
    ),
    Slip(
        "lengths of all shortest ways",
        """
        def all_lengths(size, roads):
            lengths = {(i, j): 0 if i == j else float("inf") for i in range(size) for j in range(size)}
            lengths.update(roads)
            for k in range(size):
                for i in range(size):
                    for j in range(size):
                        lengths[i, j] = min(lengths[i, j], lengths[i, k] + lengths[k, j])
            return sorted((i, j, str(length)) for (i, j), length in lengths.items())
        """,
        "lengths[i, k] + lengths[k, j]",
        "lengths[i, k] + lengths[j, k]",
        (
            "all_lengths(4, {(0, 2): 3, (0, 5 - 4): 5, (2, 1): -2, (2, 3): 7, (1, 3): 2})",
            "all_lengths(3, {(0, 1): 3, (1, 2): 5})",
            "all_lengths(2, {})",
        ),
        (
            "all_lengths(4, {(0, 1): 1, (1, 2): 1, (2, 3): 1, (3, 0): 1})",
            "all_lengths(5, {(0, 1): 3, (0, 2): 8, (0, 4): -4, (1, 3): 1, (1, 4): 7, (2, 1): 4, (3, 0): 2})",
        ),
    ),
    Slip(
        "shortest ways with negative roads",
        """
        def lengths_from(start, roads):
            lengths = {place: float("inf") for road in roads for place in road}
            lengths[start] = 0
            for _ in range(len(lengths) - 1):
                for (one, other), cost in roads.items():
                    lengths[other] = min(lengths[one] + cost, lengths[other])
            return lengths
        """,
        "            lengths[other] = min(lengths[one] + cost, lengths[other])\n",
        "            roads[one, other] = min(lengths[one] + cost, lengths[other])\n",
        (
            "str(lengths_from('A', {('A', 'B'): 3, ('A', 'C'): 3, ('B', 'C'): -2, ('C', 'D'): 4, ('D', 'C'): 1}))",
            "str(lengths_from('A', {('A', 'B'): 1, ('B', 'C'): 2, ('C', 'D'): 3, ('D', 'E'): -1, ('E', 'F'): 4}))",
            "str(lengths_from('A', {('A', 'B'): 1}))",
        ),
        (
            "str(lengths_from('B', {('A', 'B'): 1}))",
            "str(lengths_from('A', {('C', 'D'): 3, ('B', 'C'): 2, ('A', 'B'): 1}))",
            "str(lengths_from(1, {(1, 2): 5, (1, 3): 2, (3, 2): 1, (2, 4): -4}))",
        ),
    ),
    Slip(
        "shunting yard",
        """
        def postfix(tokens):
            strength = {"+": 1, "-": 1, "*": 2, "/": 2}
            output = []
            waiting = []
            for token in tokens:
                if isinstance(token, int):
                    output.append(token)
                else:
                    while waiting and strength[token] <= strength[waiting[-1]]:
                        output.append(waiting.pop())
                    waiting.append(token)
            while waiting:
                output.append(waiting.pop())
            return output
        """,
        "            waiting.append(token)\n",
        "",
        ("postfix([10, '-', 5, '-', 2])", "postfix([34, '-', 12, '/', 5])", "postfix([4, '+', 9, '*', 9, '-', 10])"),
        (
            "postfix([])",
            "postfix([30])",
            "postfix([7, '*', 43, '-', 7, '+', 13, '/', 7])",
            "postfix([1, '*', 2, '+', 3])",
        ),
    ),
    Slip(
        "rising choices",
        """
        def choices(start, stop, count):
            if count == 0:
                return [[]]
            found = []
            for first in range(start, stop + 1 - count):
                for rest in choices(first + 1, stop, count - 1):
                    found.append([first, *rest])
            return found
        """,
        "return [[]]",
        "return []",
        ("choices(1, 5, 3)", "choices(30, -2, 3)", "choices(4, 10, 4)", "choices(1, 2, 1)"),
        ("choices(1, 2, 0)", "choices(0, 3, 3)", "choices(2, 6, 2)"),
    ),
    Slip(
        "order of tasks",
        f"""
{_NODE}
        def in_order(nodes):
            ordered = [node for node in nodes if not node.before]
            for node in ordered:
                for other in node.after:
                    if set(ordered).issuperset(other.before) and other not in ordered:
                        ordered.append(other)
            return "".join(node.name for node in ordered)
        """,
        "issuperset(other.before)",
        "issuperset(other.after)",
        (
            "in_order(list(net(a='cd', b='ce', c='f', d='', e='f', f='').values()))",
            "in_order(list(net(a='b', b='c', c='').values()))",
            "in_order(list(net(v='wx', w='y', x='y', y='z', z='').values()))",
        ),
        (
            "in_order(list(net(a='').values()))",
            "in_order(list(net(c='', b='c', a='bc').values()))",
            "in_order(list(net(p='rs', q='r', r='t', s='t', t='').values()))",
        ),
        _NODES,
    ),
    Slip(
        "wrapping text",
        """
        def wrapped(text, width):
            lines = []
            while len(text) > width:
                end = text.rfind(" ", 0, width)
                if end == -1:
                    end = width
                line, text = text[:end], text[end:]
                lines.append(line)
            lines.append(text)
            return lines
        """,
        "    lines.append(text)\n",
        "",
        ("wrapped('The leaves did not stir on the trees', 12)", "wrapped('short', 20)", "wrapped('abcdefghij', 4)"),
        ("wrapped('', 5)", "wrapped('aa bb cc dd', 5)", "wrapped('one two three four five six', 9)"),
    ),
)
