"""What a training is told, and where it lies.

config        every setting of a run
rules         what a value may be
recipe_files  settings that were found to work, as TOML files in `recipes/`
data_file     files that a user gives, read within bounds (csv_file: tables)
runs          the folders of runs and the names of the files in them
"""
