"""A clip decoded once, for every encoder that wants it. PyAV is imported when the first clip is decoded."""
