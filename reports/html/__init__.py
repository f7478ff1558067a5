"""The page `report.html` of a results folder, and the site of several: one file each, which loads nothing from elsewhere."""
