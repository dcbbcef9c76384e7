"""Training: what a run is made of, its folder, its report.

Reads a `RunConfig`, leaves a `RunFolder`. Nothing here is imported by `import rondo`.
"""
