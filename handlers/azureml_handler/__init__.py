"""Runs on Azure ML: each is a command job that executes the launcher.

The modules that send no requests (`snapshots`, `environments`, `plugin`, `jobs`, `statuses`,
`outcomes`) are apart from those that do. `submission` uses `azure-ai-ml`, which costs more than a
second and 60 MB to import. `control` and `storage` do without it what every look and every end of a
run needs; the docstring of each says which requests it sends itself, and why.
"""
