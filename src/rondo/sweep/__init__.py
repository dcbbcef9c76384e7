"""Many runs under one budget: trained one after another, measured, and put into a table.

In goes what to compare, out comes a folder of runs with a table of them.
"""
