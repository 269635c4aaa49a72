"""What is wrong with an image set: leaks, damaged files, labels that contradict, shortcuts.

auditing     all findings about a set: the one way in
pairs        images that lie on two sides
shortcuts    whether a set can be solved without looking at the tumour
page         the findings as a page
"""
