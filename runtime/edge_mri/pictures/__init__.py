"""What people look at: heatmaps, and one HTML page about a run.

views        both, as a run asks for them: the one way in
heatmaps     an image with the model's map over it
thumbnails   the same, small, for the page
report       the page (report_page: its frame; report_rows: its table)
"""
