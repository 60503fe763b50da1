# The register, the log's memory outside of its database: one small object, replaced with each publication by
# a conditional write. Nothing here can lose it: the bucket keeps its versions, and no one may delete one.
#
# The bucket has no default retention (Object Lock): S3 then demands a checksum header with every PUT, which
# logserver does not send.
resource "aws_s3_bucket" "register" {
  bucket        = "${var.name}-register-${local.account}-${local.region}"
  force_destroy = false
  tags          = var.tags
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "register" {
  bucket = aws_s3_bucket.register.id
  versioning_configuration {
    status = "Enabled"
  }
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "register" {
  bucket                  = aws_s3_bucket.register.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "register" {
  bucket = aws_s3_bucket.register.id
  rule {
    bucket_key_enabled = true # one call of KMS for many writes
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.data.arn
    }
  }
}

# Only versions that were replaced expire; the newest stays for ever.
resource "aws_s3_bucket_lifecycle_configuration" "register" {
  bucket = aws_s3_bucket.register.id
  rule {
    id     = "history"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days           = var.register_history_days
      newer_noncurrent_versions = 100
    }
  }
  depends_on = [aws_s3_bucket_versioning.register]
}

resource "aws_s3_bucket_policy" "register" {
  bucket = aws_s3_bucket.register.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TLSOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.register.arn, "${aws_s3_bucket.register.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      merge({
        Sid       = "NobodyDeletes"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:DeleteBucket", "s3:PutBucketVersioning"]
        Resource  = [aws_s3_bucket.register.arn, "${aws_s3_bucket.register.arn}/*"]
        Condition = { StringNotEquals = { "aws:PrincipalArn" = concat(var.break_glass_arns, ["nobody"]) } }
      }),
    ]
  })
  depends_on = [aws_s3_bucket_versioning.register, aws_s3_bucket_public_access_block.register]
}
