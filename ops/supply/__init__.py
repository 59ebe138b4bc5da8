"""What is installed beside our own code: which versions, which bytes, under which licences."""
