"""Tells the story of runs, verdicts and bills: `story.tell` -> `Report` -> `render` to HTML, Markdown, terminal…"""
