"""The game: walk from one end of a cliff to the other, without falling down; 4 x 12 fields."""

import numpy as np

ROWS, COLUMNS = 4, 12
START, GOAL = (3, 0), (3, 11)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
LONGEST = 300


def play(weights: np.ndarray, explore: float, random: np.random.Generator) -> np.ndarray:
    """Play one game; return its moves as rows of field, move, reward, next field, end."""
    place, moves = START, []
    for _ in range(LONGEST):
        field = number(place)
        best = np.flatnonzero(weights[field] == weights[field].max())
        move = random.integers(4) if random.random() < explore else random.choice(best)
        row = min(max(place[0] + MOVES[move][0], 0), ROWS - 1)
        column = min(max(place[1] + MOVES[move][1], 0), COLUMNS - 1)
        fell = row == 3 and 0 < column < 11
        place = START if fell else (row, column)
        end = place == GOAL
        moves.append((field, move, -100 if fell else -1, number(place), end))
        if end:
            break
    return np.array(moves, dtype="i4")


def number(place: tuple[int, int]) -> int:
    """Return a field's number."""
    return place[0] * COLUMNS + place[1]
