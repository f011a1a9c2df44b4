"""Mine mazes: generated grid levels with mines, switches and doors, their exact planner, suites and replays."""
