"""Runs on Azure ML: each is a command job that executes the launcher.

What is decided without asking anybody (`snapshots`, `environments`, `plugin`, `jobs`, `statuses`,
`outcomes`) stands apart from what asks: `submission` goes through `azure-ai-ml`, which takes over
a second and 60 MB to import; `control` and `storage` do what every look and every end needs
without it. Which requests those send themselves, and why, is told at the top of each.
"""
