"""A record for people: tables, plots, a page, and what failed a floor.

markdown, tables, wording    Markdown
page, plots, growth_plots, axes
                             one HTML page
comparison                   two records side by side
floor                        the ratio below which a build fails
"""
