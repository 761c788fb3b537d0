#!/usr/bin/env bash
# What a GCP project needs before `ray up clusters/gcp.yaml`, once: a network that opens SSH to one address, two service
# accounts, access to a bucket. Needs gcloud and the right to do so; run again, it stops at what is there already.
#   bash clusters/gcp_account.sh PROJECT BUCKET ADDRESS     e.g. my-project my-bucket 203.0.113.7/32
set -euo pipefail
project=$1 bucket=$2 address=$3
gcloud() { command gcloud --project "$project" --quiet "$@"; }
account() { echo "serviceAccount:pruning-study-$1@$project.iam.gserviceaccount.com"; }

gcloud services enable compute.googleapis.com iam.googleapis.com cloudresourcemanager.googleapis.com

gcloud compute networks create pruning-study --subnet-mode=auto # the default network opens SSH to the world
gcloud compute firewall-rules create pruning-study-ssh --network=pruning-study --allow=tcp:22 --source-ranges="$address"
gcloud compute firewall-rules create pruning-study-within --network=pruning-study --allow=tcp,udp,icmp \
    --source-tags=pruning-study --target-tags=pruning-study

for name in head worker; do # both use the bucket; a worker can do nothing else
    gcloud iam service-accounts create "pruning-study-$name"
    gcloud storage buckets add-iam-policy-binding "gs://$bucket" --member="$(account $name)" --role=roles/storage.objectUser
done

# Deleted checkpoints, one a minute and trial, would be kept and billed for seven days.
gcloud storage buckets update "gs://$bucket" --clear-soft-delete

# The head also starts and ends workers.
gcloud iam roles create pruningStudyHead --title="Head of pruning studies" --permissions=\
compute.acceleratorTypes.list,compute.disks.create,compute.disks.setLabels,compute.instances.create,\
compute.instances.delete,compute.instances.get,compute.instances.list,compute.instances.setLabels,\
compute.instances.setMetadata,compute.instances.setServiceAccount,compute.instances.setTags,compute.projects.get,\
compute.subnetworks.use,compute.subnetworks.useExternalIp,compute.zoneOperations.get
gcloud projects add-iam-policy-binding "$project" --member="$(account head)" --condition=None \
    --role="projects/$project/roles/pruningStudyHead"
gcloud iam service-accounts add-iam-policy-binding "pruning-study-worker@$project.iam.gserviceaccount.com" \
    --member="$(account head)" --role=roles/iam.serviceAccountUser
