"""Azure's own tests of its queue client, run against the emulator: `make conformance`.

__main__        fetches the tests that belong to the installed `azure-servicebus`, and runs them
out_of_scope    the tests that are not run, each with its reason
shim/           what these tests expect of Azure's internal test tools
"""

KEY_NAME = "RootManageSharedAccessKey"
KEY = "Y29uZm9ybWFuY2U="  # any will do, where both ends are on this machine
