"""Mine mazes: generated levels with mines, switches and doors, an exact planner, suites and replays."""
