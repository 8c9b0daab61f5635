"""`crmbridge mapping ...`: what helps a person who edits mapping files."""
