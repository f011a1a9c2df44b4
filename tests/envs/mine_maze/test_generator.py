import pytest

from rayrl.envs.mine_maze.categories import RECIPES
from rayrl.envs.mine_maze.generator import generate_level
from rayrl.envs.mine_maze.rules import MINE, WALL

HASHES = {
    "very_simple": "d4024d4931d0",
    "simple": "3b2a353cc235",
    "medium": "8fa7fd18a6ef",
    "complex": "f17009193637",
    "mine_heavy": "b007e0116ede",
    "exploration": "7a4ac3237e85",
}


@pytest.mark.parametrize("category", RECIPES)
def test_levels_are_what_their_recipe_says(category: str) -> None:
    recipe = RECIPES[category]
    for seed in range(60):
        made = generate_level(category, seed)
        assert recipe.least_side <= min(made.maze.rows, made.maze.columns)
        assert max(made.maze.rows, made.maze.columns) <= recipe.most_side
        assert recipe.least_doors <= made.maze.doors <= recipe.most_doors
        assert recipe.least_mines <= made.mines <= recipe.most_mines
        assert recipe.least_patrols <= made.patrols <= recipe.most_patrols
        assert made.optimal_steps >= max(recipe.least_steps, 1)
        made._check("generated")


@pytest.mark.parametrize("category", RECIPES)
def test_category_and_seed_decide_a_level(category: str) -> None:
    first, again, other = (generate_level(category, seed) for seed in (7, 7, 8))
    assert first.content == again.content
    assert first.sha256 == again.sha256
    assert first.content != other.content


def test_the_generator_of_version_1_makes_these_levels_for_ever() -> None:
    hashes = {category: generate_level(category, 1).sha256[:12] for category in RECIPES}
    assert hashes == HASHES


def test_a_door_is_needed() -> None:
    for seed in range(60):
        made = generate_level("complex", seed)
        maze = made.maze
        kinds = maze.kinds.reshape(maze.rows, maze.columns)
        # Without any switch pressed, walls and doors part the start from the exit.
        reached, grown = {maze.spawn}, [maze.spawn]
        while grown:
            row, column = divmod(grown.pop(), maze.columns)
            for i, j in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                inside = 0 <= i < maze.rows and 0 <= j < maze.columns
                if inside and kinds[i, j] not in (WALL, MINE) and kinds[i, j] < 8:
                    cell = i * maze.columns + j
                    if cell not in reached:
                        reached.add(cell)
                        grown.append(cell)
        assert maze.exit not in reached
